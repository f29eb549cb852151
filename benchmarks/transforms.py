"""Augmentation of CIFAR-sized batches, images a second of one core: ours, batched, against a data set's transform.

The peers take one image at a time, as a loader's worker does: plain numpy (the least that can be done so), and
torchvision's v2 transforms on tensors where torchvision is installed. All in turn, so that a drift of the machine meets
all; time is that of the one thread on its core; images are noise, on whose content no time here depends.

    python benchmarks/transforms.py [--rounds 5] [--batch 512]
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import importlib.util
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from record import spread, write_record

from pileus.data.transforms.draws import Draws
from pileus.data.transforms.mix import mixed
from pileus.data.transforms.pipeline import augment
from pileus.spec.augment import Augment, Cutmix, Mix, Mixup, PadCrop, ResizedCrop

SPECS = {
    "flip": Augment(flip=0.5),
    "flip and padded crop": Augment(flip=0.5, crop=PadCrop()),
    "flip and reflected crop": Augment(flip=0.5, crop=PadCrop(fill="reflect")),
    "resized crop": Augment(crop=ResizedCrop()),
    "affine": Augment(rotate_deg=10.0, scale=0.1, shear=0.1, shift=0.1),
    "colour": Augment(brightness=0.2, contrast=0.2, saturation=0.2),
    "cutout": Augment(cutout=16),
}
MIXES: dict[str, Mix] = {"mixup": Mixup(), "cutmix": Cutmix()}
PEERED = "flip and padded crop"


def ours(images_NHWC: NDArray[np.uint8]) -> Iterator[tuple[str, Callable[[], object]]]:
    count = len(images_NHWC)
    draws = Draws(0, 0, np.arange(count, dtype=np.uint64))
    labels_N = np.zeros(count, np.int64)
    for name, spec in SPECS.items():
        yield name, lambda spec=spec: augment(images_NHWC, draws, spec)  # type: ignore[misc]
    for name, mix in MIXES.items():
        yield name, lambda mix=mix: mixed(images_NHWC, labels_N, draws, mix)  # type: ignore[misc]


def plain_numpy(images_NHWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Flip and padded crop as a data set's __getitem__ does them, and the batch put together again."""
    generator = np.random.default_rng(0)
    size = images_NHWC.shape[1]
    changed = []
    for image in images_NHWC:
        if generator.random() < 0.5:
            image = image[:, ::-1]
        wide = np.zeros((size + 8, size + 8, 3), np.uint8)
        wide[4:-4, 4:-4] = image
        top, left = generator.integers(0, 9, 2)
        changed.append(wide[top : top + size, left : left + size])
    return np.stack(changed)


def torchvision_v2(images_NHWC: NDArray[np.uint8]) -> Callable[[], object]:
    """The same by torchvision, image by image; tensors are made beforehand."""
    v2: Any = importlib.import_module("torchvision.transforms.v2")
    both = v2.Compose([v2.RandomHorizontalFlip(0.5), v2.RandomCrop(images_NHWC.shape[1], padding=4)])
    images_NCHW = list(torch.from_numpy(images_NHWC.transpose(0, 3, 1, 2).copy()))
    return lambda: torch.stack([both(image) for image in images_NCHW])


def images_per_s(call: Callable[[], object], count: int, at_least_s: float = 0.3) -> float:
    """Of whole batches, for as long as it takes to tell; the first one does not count."""
    call()
    batches, started = 0, time.thread_time()
    while (passed_s := time.thread_time() - started) < at_least_s:
        call()
        batches += 1
    return batches * count / passed_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=512)
    args = parser.parse_args()
    torch.set_num_threads(1)
    images_NHWC = np.random.default_rng(0).integers(0, 256, (args.batch, 32, 32, 3), np.uint8)
    calls = {f"pileus, {name}": call for name, call in ours(images_NHWC)}
    calls[f"plain numpy, {PEERED}"] = lambda: plain_numpy(images_NHWC)
    says = f"Augmentation of 32x32x3 images in batches of {args.batch}, one thread, time on its core."
    if importlib.util.find_spec("torchvision"):
        says += f" Peer: torchvision {importlib.metadata.version('torchvision')}."
        calls[f"torchvision v2, {PEERED}"] = torchvision_v2(images_NHWC)
    raw: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(args.rounds):
        for name, call in calls.items():
            raw[name].append(images_per_s(call, args.batch))
    figures = {f"{name}, images/s": spread(values) for name, values in raw.items()}
    for name in [name for name in raw if not name.startswith("pileus")]:
        pairs = zip(raw[f"pileus, {PEERED}"], raw[name], strict=True)
        figures[f"pileus / {name}"] = spread([one / other for one, other in pairs])
    folder = write_record("transforms", figures, raw, says)
    print(json.dumps(figures, indent=2), folder, sep="\n")


if __name__ == "__main__":
    main()
