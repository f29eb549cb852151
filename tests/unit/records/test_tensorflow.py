"""TensorFlow itself, where it is installed: it reads what we write, and we read what it writes."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from pileus.cli.main import main
from pileus.data.ports import Encoded
from pileus.data.sources.open import open_source
from pileus.records import open_records
from tests.contracts.tiny import write_folder

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None, reason="TensorFlow is not installed: pip install tensorflow-cpu"
)

_READ = """
import json, sys, tensorflow as tf
kinds = {name: tf.io.FixedLenFeature([], kind) for name, kind in {
    "image/encoded": tf.string, "image/format": tf.string, "image/id": tf.string, "image/class/text": tf.string,
    "image/class/label": tf.int64, "image/split": tf.int64, "image/height": tf.int64, "image/width": tf.int64,
    "image/channels": tf.int64}.items()}
for data in tf.data.TFRecordDataset(sys.argv[1:]):
    parsed = tf.io.parse_single_example(data, kinds)
    print(json.dumps({name: value.numpy().hex() if value.dtype == tf.string else int(value)
                      for name, value in parsed.items()}))
"""

_WRITE = """
import sys, tensorflow as tf
def of(value):
    if isinstance(value, bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
options = tf.io.TFRecordOptions(compression_type=sys.argv[2])
with tf.io.TFRecordWriter(sys.argv[1], options) as writer:
    for number in range(6):
        image = tf.io.encode_jpeg(tf.fill([8, 9, 3], tf.constant(number * 40, tf.uint8))).numpy()
        features = {"image/encoded": of(image), "image/class/label": of(number % 2)}
        writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
"""


def _run(script: str, *arguments: str) -> str:
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_tensorflow_reads_ours(tmp_path: Path) -> None:
    place = tmp_path / "set"
    assert main(["data", "write", str(write_folder(tmp_path / "photos")), str(place), "--num-shards", "2"]) == 0
    records = open_records(str(place))
    lines = _run(_READ, *(str(path) for path in sorted(place.glob("*.tfrecord")))).splitlines()
    assert len(lines) == len(records) == 6
    for number, line in enumerate(lines):
        seen = json.loads(line)
        assert bytes.fromhex(seen["image/encoded"]) == bytes(records[number])
        assert bytes.fromhex(seen["image/id"]).decode() == records.id(number)
        assert (seen["image/class/label"], seen["image/split"]) == (records.labels[number], records.splits[number])
        assert (seen["image/height"], seen["image/width"], seen["image/channels"]) == records.shape_at(number)


@pytest.mark.parametrize("compression", ["", "GZIP", "ZLIB"])
def test_we_read_tensorflows(tmp_path: Path, compression: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "train.tfrecord"
    _run(_WRITE, str(path), compression)
    if compression:
        assert main(["data", "show", str(path)]) == 2
        assert "compressed as a whole" in capsys.readouterr().err
        return
    source = open_source(str(path))
    assert [source.row(number).label for number in range(6)] == [0, 1] * 3
    assert all(isinstance(source[number].image, Encoded) for number in range(6))
