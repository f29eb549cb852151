"""Tiny but real inputs of every kind, written into a folder; each returns the place to open."""

from __future__ import annotations

import csv
import gzip
import io
import lzma
import pickle
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.contracts.oracle import write_tfrecord


def noise(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def idx_bytes(magic: int, array: NDArray[np.uint8]) -> bytes:
    return struct.pack(f">{1 + array.ndim}I", magic, *array.shape) + array.tobytes()


def write_idx(folder: Path, *, train: int = 12, test: int = 5, compress: bool = True) -> Path:
    """Pairs as MNIST's, of 4 x 5 pixels, labels 0, 1, 2, 0, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, count in (("train", train), ("t10k", test)):
        for name, magic, array in (
            ("images-idx3", 2051, noise(count, 4, 5, seed=count)),
            ("labels-idx1", 2049, (np.arange(count) % 3).astype(np.uint8)),
        ):
            content = idx_bytes(magic, array)
            path = folder / f"{part}-{name}-ubyte{'.gz' if compress else ''}"
            path.write_bytes(gzip.compress(content, mtime=0) if compress else content)
    return folder


def write_cifar(folder: Path, *, per_batch: int = 4, compress: bool = True) -> Path:
    """Two training batches and a test batch, three classes."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(("data_batch_1", "data_batch_2", "test_batch")):
        batch = {
            b"data": noise(per_batch, 3072, seed=seed),
            b"labels": [number % 3 for number in range(per_batch)],
            b"filenames": [b"%d.png" % number for number in range(per_batch)],
        }
        content = pickle.dumps(batch, protocol=2)
        path = folder / (name + (".xz" if compress else ""))
        path.write_bytes(lzma.compress(content, preset=0) if compress else content)
    (folder / "batches.meta").write_bytes(pickle.dumps({b"label_names": [b"cat", b"dog", b"frog"]}, protocol=2))
    return folder


def picture(kind: str, height: int = 9, width: int = 7, *, seed: int = 0, mode: str = "RGB") -> bytes:
    """The bytes of a PNG or JPEG file."""
    shape = (height, width) if mode == "L" else (height, width, 3)
    out = io.BytesIO()
    Image.fromarray(noise(*shape, seed=seed)).save(out, kind)
    return out.getvalue()


def write_folder(folder: Path, *, per_class: int = 3) -> Path:
    """Classes `cat` (PNG) and `dog` (JPEG) of varying sizes, with clutter to be passed over."""
    for name, suffix in (("cat", "png"), ("dog", "jpg")):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(per_class):
            kind = "PNG" if suffix == "png" else "JPEG"
            content = picture(kind, 9 + number, 7, seed=number)
            (folder / name / f"{number}.{suffix}").write_bytes(content)
        (folder / name / ".DS_Store").write_bytes(b"clutter")
    (folder / "README.txt").write_text("beside the classes")
    return folder


def write_split_folder(folder: Path) -> Path:
    for part in ("train", "val", "test"):
        write_folder(folder / part)
    return folder


def write_manifest(folder: Path, *, suffix: str = ".csv") -> Path:
    """Six rows over the pictures of `write_folder`, with splits."""
    pictures = write_folder(folder)
    rows = [
        {"path": path.relative_to(pictures).as_posix(), "label": path.parent.name, "split": split}
        for path, split in zip(
            sorted(pictures.glob("*/[0-9]*")), ["train", "val", "test", "train", "", "test"], strict=True
        )
    ]
    manifest = folder / f"pictures{suffix}"
    if suffix == ".csv":
        with manifest.open("w", newline="") as file:
            writer = csv.DictWriter(file, ["path", "label", "split"])
            writer.writeheader()
            writer.writerows(rows)
    else:
        lines = [f'{{"path": "{r["path"]}", "label": "{r["label"]}", "split": "{r["split"]}"}}\n' for r in rows]
        manifest.write_text("".join(lines))
    return manifest


def write_tfrecords(folder: Path, *, per_file: int = 5) -> Path:
    """Files of a train and a validation part with the names that TensorFlow's own tools give."""
    for part, first in (("train", 0), ("validation", 100)):
        write_tfrecord(
            folder / f"{part}-00000-of-00001",
            [
                {
                    "image/encoded": picture("JPEG" if number % 2 else "PNG", 9, 7 + number, seed=first + number),
                    "image/class/label": 1 + number % 2,
                    "image/class/text": ("daisy", "tulip")[number % 2],
                    "image/object/bbox/xmin": [0.25, 0.5],
                }
                for number in range(per_file)
            ],
        )
    return folder
