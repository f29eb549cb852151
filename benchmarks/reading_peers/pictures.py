"""A batch from JPEG files as a careful user of a loader in Python makes it: by any decoder and any resizer.

The rectangle is drawn first; a JPEG is decoded at a half, a quarter or an eighth where the decoder can and enough
pixels stay; the rectangle is resized straight into its row of the batch where the resizer can. Batches are uint8
(N, H, W, C), in memory that worker processes share where that is asked for.
"""

from __future__ import annotations

import io
import math
import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms.v2 import functional

from reading_peers.job import SIDE, Task
from reading_peers.shapes import AREA, ASPECT, TRIES

Pixels = NDArray[np.uint8]


class Box(NamedTuple):
    top: int
    left: int
    height: int
    width: int


class Maker:
    """Makes a batch of JPEG files. Safe for threads."""

    def __init__(self, task: Task, decoder: str, resizer: str, *, shared: bool = False) -> None:
        self._draw = random_box if task == "train" else central_box
        self._flips = task == "train"
        self._decode = DECODERS[decoder]
        self._resize = RESIZERS[resizer]
        self._shared = shared

    def __call__(self, contents: Sequence[bytes]) -> torch.Tensor:
        batch = empty_batch(len(contents), shared=self._shared)
        images_NHWC = batch.numpy()
        for content, into_HWC in zip(contents, images_NHWC, strict=True):
            part_HWC = self._decode(content, self._draw)
            if self._flips and random.random() < 0.5:
                straight_HWC = np.empty_like(into_HWC)
                self._resize(part_HWC, straight_HWC)
                cv2.flip(straight_HWC, 1, dst=into_HWC)
            else:
                self._resize(part_HWC, into_HWC)
        return batch


def empty_batch(count: int, *, shared: bool) -> torch.Tensor:
    """Of photographs. `shared`: in memory that goes to another process without a copy, as default_collate takes it."""
    shape = (count, SIDE, SIDE, 3)
    if not shared:
        return torch.empty(shape, dtype=torch.uint8)
    storage = torch.UntypedStorage._new_shared(math.prod(shape), device="cpu")  # type: ignore[no-untyped-call]
    return torch.empty(0, dtype=torch.uint8).set_(storage, 0, shape)  # type: ignore[call-overload, no-any-return]


def random_box(height: int, width: int) -> Box:
    """torchvision's RandomResizedCrop, drawn by Python's own generator, which takes a tenth of the time."""
    for _ in range(TRIES):
        area = height * width * random.uniform(*AREA)
        aspect = math.exp(random.uniform(math.log(ASPECT[0]), math.log(ASPECT[1])))
        cut_height, cut_width = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        if 0 < cut_height <= height and 0 < cut_width <= width:
            top, left = random.randint(0, height - cut_height), random.randint(0, width - cut_width)
            return Box(top, left, cut_height, cut_width)
    return central_box(height, width)


def central_box(height: int, width: int) -> Box:
    side = min(height, width)
    return Box((height - side) // 2, (width - side) // 2, side, side)


def cut(image_HWC: Pixels, box: Box, divisor: int = 1) -> Pixels:
    """The box, given in the whole picture's pixels, of the picture at a `divisor`th of its size."""
    top, left = box.top // divisor, box.left // divisor
    return image_HWC[top : top + box.height // divisor, left : left + box.width // divisor]


def divisor_for(box: Box) -> int:
    return next((divisor for divisor in (8, 4, 2) if min(box.height, box.width) // divisor >= SIDE), 1)


Draw = Callable[[int, int], Box]


def by_pillow(content: bytes, draw: Draw) -> Pixels:
    picture: Image.Image = Image.open(io.BytesIO(content))
    height, box = picture.height, draw(picture.height, picture.width)
    divisor = divisor_for(box)
    picture.draft("RGB", (picture.width // divisor, picture.height // divisor))
    return cut(np.asarray(picture.convert("RGB")), box, round(height / picture.height))


def by_simplejpeg(content: bytes, draw: Draw, **fast: bool) -> Pixels:
    height, width, _, _ = simplejpeg.decode_jpeg_header(content)
    box = draw(height, width)
    divisor = divisor_for(box)
    least = {"min_height": -(-height // divisor), "min_width": -(-width // divisor)} if divisor > 1 else {}
    return cut(simplejpeg.decode_jpeg(content, "RGB", **fast, **least), box, divisor)


def by_simplejpeg_fast(content: bytes, draw: Draw) -> Pixels:
    """With the integer DCT of least exactness and chroma repeated, not interpolated."""
    return by_simplejpeg(content, draw, fastdct=True, fastupsample=True)


def by_torchvision(content: bytes, draw: Draw) -> Pixels:
    coded = torch.from_numpy(np.frombuffer(bytearray(content), np.uint8))
    image_HWC: Pixels = decode_jpeg(coded, ImageReadMode.RGB).permute(1, 2, 0).numpy()
    return cut(image_HWC, draw(*image_HWC.shape[:2]))


def by_opencv(content: bytes, draw: Draw) -> Pixels:
    how = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    image_HWC: Any = cv2.imdecode(np.frombuffer(content, np.uint8), how)
    return cut(image_HWC, draw(*image_HWC.shape[:2]))


def with_pillow(image_HWC: Pixels, into_HWC: Pixels) -> None:
    resized = Image.fromarray(image_HWC).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    into_HWC[:] = np.asarray(resized)


def with_opencv(image_HWC: Pixels, into_HWC: Pixels) -> None:
    cv2.resize(image_HWC, (SIDE, SIDE), dst=into_HWC, interpolation=cv2.INTER_LINEAR)


def with_torchvision(image_HWC: Pixels, into_HWC: Pixels, *, antialias: bool = False) -> None:
    image_CHW = torch.from_numpy(image_HWC).permute(2, 0, 1)
    into_HWC[:] = functional.resize(image_CHW, [SIDE, SIDE], antialias=antialias).permute(1, 2, 0).numpy()


def with_torchvision_antialias(image_HWC: Pixels, into_HWC: Pixels) -> None:
    with_torchvision(image_HWC, into_HWC, antialias=True)


DECODERS: dict[str, Callable[[bytes, Draw], Pixels]] = {
    "pillow": by_pillow,
    "simplejpeg": by_simplejpeg,
    "simplejpeg fast": by_simplejpeg_fast,
    "torchvision": by_torchvision,
    "opencv": by_opencv,
}
RESIZERS: dict[str, Callable[[Pixels, Pixels], None]] = {
    "pillow": with_pillow,
    "opencv": with_opencv,
    "torchvision": with_torchvision,
    "torchvision antialias": with_torchvision_antialias,
}
