"""TensorFlow itself: it reads what we write, we read what it writes, and both call the same records damaged.

Its side is with_tensorflow.py, run by an interpreter of its own: it wants other versions of libraries than we do.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pileus.data.decode import decode
from pileus.data.ports import Encoded, Sample, Split
from pileus.data.sources.open import open_source
from pileus.records import open_records, verify_records
from pileus.records.frame import FOOTER_BYTES, HEADER_BYTES
from pileus.spec.values import digest
from tests.contracts.oracle import tfrecord_bytes
from tests.contracts.tiny import write_folder
from tests.e2e.running import here, write_digits
from tests.servers.process import SERVICES

pytestmark = pytest.mark.service

Capture = pytest.CaptureFixture[str]
PYTHON = SERVICES / "tensorflow-cpu-2.21.0" / "bin" / "python"
_SCRIPT = Path(__file__).with_name("with_tensorflow.py")
_DEADLINE_S = 60.0


def tensorflow(command: str, *places: Path) -> list[dict[str, Any]]:
    """What the script tells, line by line. Skips where TensorFlow is not installed."""
    if not PYTHON.exists():
        pytest.skip(
            f"there is no {PYTHON}; run: make services SERVICES=tensorflow (it has wheels for Python 3.10 to 3.13)"
        )
    words = [str(PYTHON), "-I", str(_SCRIPT), command, *map(str, places)]
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(words, capture_output=True, text=True, timeout=_DEADLINE_S, env=quiet, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[str]]]:
    """A folder of TFRecord files, and the digests of their pictures."""
    folder = tmp_path_factory.mktemp("theirs")
    (told,) = tensorflow("write", folder)
    return folder, told


def shards(place: Path) -> list[Path]:
    return sorted(place.glob("*.tfrecord"))


def content_of(sample: Sample) -> bytes:
    return sample.image.content if isinstance(sample.image, Encoded) else sample.image.tobytes()


@pytest.mark.parametrize("kind", ["pictures", "raw digits"])
def test_tensorflow_reads_ours(kind: str, tmp_path: Path, capsys: Capture) -> None:
    place = tmp_path / "set"
    if kind == "pictures":
        photos = write_folder(tmp_path / "photos")
        assert here(capsys, "data", "write", photos, place, "--num-shards", "2", "--encode", "keep").code == 0
    else:
        write_digits(place)
    records = open_records(str(place))
    seen = tensorflow("read", *shards(place))
    assert len(seen) == len(records) > 0
    for number, record in enumerate(seen):
        label = int(records.labels[number])
        assert record["encoded"] == digest(records[number])
        assert (record["image/id"], record["image/format"]) == (records.id(number), records.format(number))
        assert (record["image/class/label"], record["image/class/text"]) == (label, records.classes[label])
        assert record["image/split"] == records.splits[number]
        assert tuple(record[f"image/{side}"] for side in ("height", "width", "channels")) == records.shape_at(number)
        if records.format(number) == "png":
            assert record["pixels"] == digest(decode(bytes(records[number]), "picture").tobytes())
        if records.format(number) == "raw":
            assert record["pixels"] == record["encoded"]


@pytest.mark.parametrize(
    ("folder", "classes", "labels", "splits"),
    [
        ("plain", ("0", "1"), [0, 1, 0, 1, 0, 1], [Split.TEST] * 2 + [Split.TRAIN] * 4),
        ("rich", ("daisy", "rose", "tulip"), [0, 1, 2, 0, 1, 2], [Split.TRAIN] * 6),
        ("pixels", ("0", "1"), [0, 1, 0, 1, 0, 1], [None] * 6),
    ],
)
def test_we_read_tensorflows(
    folder: str,
    classes: tuple[str, ...],
    labels: list[int],
    splits: list[Split | None],
    theirs: tuple[Path, dict[str, list[str]]],
) -> None:
    source = open_source(str(theirs[0] / folder))
    rows = [source.row(number) for number in range(len(source))]
    assert source.classes == classes
    assert ([row.label for row in rows], [row.split for row in rows]) == (labels, splits)
    if folder == "plain":
        jpegs = theirs[1]["jpegs"]
        assert [digest(content_of(sample)) for sample in map(source.__getitem__, range(6))] == jpegs[4:] + jpegs[:4]
        return
    for number, wanted in enumerate(theirs[1]["pixels"]):
        image = source[number].image
        pixels = decode(image.content, "picture") if isinstance(image, Encoded) else image
        assert (pixels.shape, digest(pixels.tobytes())) == ((8, 9 + number, 3), wanted)


def test_show_names_tensorflows_features(theirs: tuple[Path, dict[str, list[str]]], capsys: Capture) -> None:
    shown = json.loads(here(capsys, "data", "show", theirs[0] / "rich", "--json").out)
    assert (shown["image_feature"], shown["label_feature"]) == ("image/encoded", "image/class/label")
    assert [(one["name"], one["kinds"], one["values"]) for one in shown["features"]] == [
        ("image/class/label", ["int64"], [1, 1]),
        ("image/class/text", ["bytes"], [1, 1]),
        ("image/encoded", ["bytes"], [1, 1]),
        ("image/filename", ["bytes"], [1, 1]),
        ("image/format", ["bytes"], [1, 1]),
        ("image/object/bbox/xmin", ["float"], [1, 6]),
        ("image/object/class/label", ["int64"], [1, 6]),
        ("image/tags", ["bytes"], [3, 3]),
    ]


def test_what_goes_through_us_comes_back(
    theirs: tuple[Path, dict[str, list[str]]], tmp_path: Path, capsys: Capture
) -> None:
    place = tmp_path / "set"
    words = ("--num-shards", "3", "--encode", "keep")
    assert here(capsys, "data", "write", theirs[0] / "rich", place, *words).code == 0
    assert verify_records(str(place)).ok
    seen = tensorflow("read", *shards(place))
    assert [record["pixels"] for record in seen] == theirs[1]["pixels"]
    assert [record["image/class/text"] for record in seen] == ["daisy", "rose", "tulip"] * 2


@pytest.mark.parametrize("compression", ["GZIP", "ZLIB"])
def test_files_compressed_as_a_whole_are_refused(
    compression: str, theirs: tuple[Path, dict[str, list[str]]], capsys: Capture
) -> None:
    ended = here(capsys, "data", "show", theirs[0] / compression)
    assert ended.code == 2
    assert "compressed as a whole" in ended.err


def test_frames_and_checksums_are_the_same(theirs: tuple[Path, dict[str, list[str]]]) -> None:
    payloads = [(b"TensorFlow" * size)[:size] for size in (0, 1, 7, 8, 9, 255, 4096, 70_000)]
    assert (theirs[0] / "frames" / "a.tfrecord").read_bytes() == tfrecord_bytes(payloads)


def _damaged(shard: Path) -> dict[str, bytes]:
    """The shard's bytes, each time with another fault: in the second record, or in the last, which is cut."""
    content = shard.read_bytes()
    places = [tuple(map(int, line.split())) for line in shard.with_suffix(".idx").read_text().splitlines()]
    (start, size), (last, last_size) = places[1], places[-1]
    fields = {"length": 2, "its checksum": HEADER_BYTES - 1, "data": size // 2, "data's checksum": size - 1}
    copies = {}
    for name, offset in fields.items():
        flipped = bytearray(content)
        flipped[start + offset] ^= 4
        copies[name] = bytes(flipped)
    cuts = (1, HEADER_BYTES - 1, HEADER_BYTES, last_size // 2, last_size - FOOTER_BYTES, last_size - 1)
    return copies | {f"cut after {cut} bytes": content[: last + cut] for cut in cuts}


def test_what_tensorflow_calls_damaged_we_name(tmp_path: Path) -> None:
    """By the record's number, which is how many TensorFlow read before it, and by its place."""
    whole = write_digits(tmp_path / "digits")
    copies = _damaged(shards(whole)[0])
    places = [shutil.copytree(whole, tmp_path / f"copy-{number}") for number in range(len(copies))]
    files = [shards(place)[0] for place in places]
    for file, content in zip(files, copies.values(), strict=True):
        file.write_bytes(content)
    unnoticed = []
    for name, place, told in zip(copies, places, tensorflow("count", *files), strict=True):
        (damage,) = verify_records(str(place)).damage
        assert (damage.shard, damage.record) == (files[0].name, told["records"]), name
        if not told["error"]:
            unnoticed.append(name)
            continue
        found = re.search(r"(?:corrupted|truncated) record at (\d+)", told["error"])
        assert found and damage.offset is not None, (name, told)
        assert int(found[1]) - damage.offset in (0, HEADER_BYTES), (name, damage, told)
    assert unnoticed == ["cut after 1 bytes", f"cut after {HEADER_BYTES - 1} bytes"]  # for TensorFlow the file ends
