"""TensorFlow's side of test_tensorflow.py. Run by the interpreter that has it, which has nothing of Pileus.

read FILE...      a line of JSON for each record of Pileus, parsed by tf.data
write FOLDER      TFRecord files as users write them; one line of JSON tells their pictures
count FILE...     a line of JSON for each file: whole records, and the error that ends it
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

_TEXTS = ("image/encoded", "image/format", "image/id", "image/class/text")
_NUMBERS = ("image/class/label", "image/split", "image/height", "image/width", "image/channels")


def read(paths: Sequence[str]) -> None:
    kinds = {name: tf.io.FixedLenFeature([], tf.string) for name in _TEXTS}
    kinds |= {name: tf.io.FixedLenFeature([], tf.int64) for name in _NUMBERS}
    for data in tf.data.TFRecordDataset(list(paths)):
        found = {name: value.numpy() for name, value in tf.io.parse_single_example(data, kinds).items()}
        told: dict[str, object] = {name: int(found[name]) for name in _NUMBERS}
        told |= {name: found[name].decode() for name in _TEXTS[1:]}
        told["encoded"] = _digest(found["image/encoded"])
        told["pixels"] = _digest(_pixels(found).tobytes())
        print(json.dumps(told))


def _pixels(found: dict[str, Any]) -> Any:
    if found["image/format"] == b"raw":
        return tf.io.decode_raw(found["image/encoded"], tf.uint8).numpy()
    return tf.io.decode_image(found["image/encoded"]).numpy()


def write(folder: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (8, 9 + number, 3), np.uint8) for number in range(6)]
    jpegs = [tf.io.encode_jpeg(picture).numpy() for picture in pictures]
    plain: list[dict[str, object]] = [{"image": jpeg, "label": number % 2} for number, jpeg in enumerate(jpegs)]
    _write(folder / "plain" / "train.tfrecord", plain[:4])
    _write(folder / "plain" / "test.tfrecord", plain[4:])
    _write(folder / "rich" / "flowers-train-00000-of-00001", [_rich(*each) for each in enumerate(pictures)])
    _write(folder / "pixels" / "a.tfrecord", [_raw(*each) for each in enumerate(pictures)])
    for compression in ("GZIP", "ZLIB"):
        _write(folder / compression / "a.tfrecord", plain, compression)
    (folder / "frames").mkdir()
    with tf.io.TFRecordWriter(str(folder / "frames" / "a.tfrecord")) as writer:
        for size in (0, 1, 7, 8, 9, 255, 4096, 70_000):
            writer.write((b"TensorFlow" * size)[:size])
    told = {"jpegs": list(map(_digest, jpegs)), "pixels": [_digest(picture.tobytes()) for picture in pictures]}
    print(json.dumps(told))


def _rich(number: int, picture: Any) -> dict[str, object]:
    """As TensorFlow's own models are fed: more features than anyone reads, lists of several values among them."""
    return {
        "image/encoded": tf.io.encode_png(picture).numpy(),
        "image/format": b"png",
        "image/filename": f"Blüte {number}.png".encode(),
        "image/class/label": 1 + number % 3,
        "image/class/text": ("daisy", "rose", "tulip")[number % 3].encode(),
        "image/object/bbox/xmin": [0.25] * (1 + number),
        "image/object/class/label": list(range(-1, number)),
        "image/tags": [b"a", b"", b"c"],
    }


def _raw(number: int, picture: Any) -> dict[str, object]:
    height, width, depth = picture.shape
    return {"image_raw": picture.tobytes(), "label": number % 2, "height": height, "width": width, "depth": depth}


def _write(path: Path, examples: Iterable[dict[str, object]], compression: str = "") -> None:
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions(compression_type=compression)) as writer:
        for example in examples:
            features = tf.train.Features(feature={name: _feature(value) for name, value in example.items()})
            writer.write(tf.train.Example(features=features).SerializeToString())


def _feature(value: object) -> Any:
    values = value if isinstance(value, list) else [value]
    if all(isinstance(one, bytes) for one in values):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
    if all(isinstance(one, float) for one in values):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def count(paths: Sequence[str]) -> None:
    for path in paths:
        records, error = 0, ""
        try:
            for _ in tf.data.TFRecordDataset(path):
                records += 1
        except tf.errors.DataLossError as lost:
            error = lost.message
        print(json.dumps({"records": records, "error": error}))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    command, *places = sys.argv[1:]
    if command == "write":
        write(Path(places[0]))
    else:
        {"read": read, "count": count}[command](places)
