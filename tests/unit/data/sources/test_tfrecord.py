from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path

import numpy as np
import pytest

from pileus.cli.main import main
from pileus.data.decode import decode
from pileus.data.ports import Encoded, Split
from pileus.data.sources.open import open_source
from pileus.data.sources.tfrecord import ImageFeatures
from pileus.errors import SourceError, UsageError
from pileus.records import open_records, verify_records
from tests.contracts.oracle import Value, tfrecord_bytes, write_tfrecord
from tests.contracts.tiny import noise, picture, write_folder, write_tfrecords

Example = dict[str, Value | list[Value]]


def _examples(**more: Value | list[Value]) -> list[Example]:
    return [{"image": picture("PNG", seed=number), "label": number % 3, **more} for number in range(6)]


def test_files_as_tensorflow_names_them(tmp_path: Path) -> None:
    source = open_source(str(write_tfrecords(tmp_path)))
    assert source.classes == ("daisy", "tulip")
    assert [source.row(number).split for number in (0, 5)] == [Split.TRAIN, Split.VALIDATION]
    assert [source.row(number).label for number in range(5)] == [0, 1, 0, 1, 0]
    image = source[1].image
    assert isinstance(image, Encoded)
    assert decode(image.content, "picture").shape == (9, 8, 3)


@pytest.mark.parametrize("name", ["x.tfrecord", "x.tfrecords", "x.tfrec", "x.tfrecord-00000-of-00002", "train.record"])
def test_names_that_are_known(tmp_path: Path, name: str) -> None:
    write_tfrecord(tmp_path / name, _examples())
    assert open_source(str(tmp_path)).kind == "tfrecord"


def test_numbers_are_names_where_there_are_no_better_ones(tmp_path: Path) -> None:
    examples = [{**example, "label": label} for example, label in zip(_examples(), (7, -2, 7, 30, 7, 7), strict=True)]
    source = open_source(str(write_tfrecord(tmp_path / "a.tfrecord", examples)))
    assert source.classes == ("-2", "7", "30")
    assert [source.row(number).label for number in range(6)] == [1, 0, 1, 2, 1, 1]


def test_labels_may_be_text(tmp_path: Path) -> None:
    examples = [{**example, "label": "ab"[number % 2]} for number, example in enumerate(_examples())]
    source = open_source(str(write_tfrecord(tmp_path / "a.tfrecord", examples)))
    assert (source.classes, source.row(3).label) == (("a", "b"), 1)


@pytest.mark.parametrize("shape", [(6, 5, 1), (6, 5, 3)])
def test_pictures_may_be_pixels(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    images = [noise(*shape, seed=number) for number in range(4)]
    sides = dict(zip(("height", "width", "depth"), shape, strict=True))
    examples: list[Example] = [
        {"image_raw": image.tobytes(), "label": number % 2, **sides} for number, image in enumerate(images)
    ]
    source = open_source(str(write_tfrecord(tmp_path / "a.tfrecord", examples)))
    for number, image in enumerate(images):
        assert np.array_equal(source[number].image, image)


def test_features_can_be_named(tmp_path: Path) -> None:
    examples: list[Example] = [
        {"image": b"a thumbnail", "photo": picture("JPEG", seed=number), "label": 0, "kind": number % 2}
        for number in range(4)
    ]
    path = str(write_tfrecord(tmp_path / "a.tfrecord", examples))
    with pytest.raises(SourceError, match=r"record 0 of .* is not a picture"):
        open_source(path)
    source = open_source(path, features=ImageFeatures("photo", "kind"))
    assert source.classes == ("0", "1")
    with pytest.raises(SourceError, match=r"no image feature foto .*\(got image \(bytes\), kind \(int64\), label"):
        open_source(path, features=ImageFeatures("foto"))
    with pytest.raises(SourceError, match="does not exist"):
        open_source(path + "x", features=ImageFeatures("photo"))
    with pytest.raises(UsageError, match="only TFRecord files"):
        open_source(str(write_folder(tmp_path / "photos")), "folder", ImageFeatures("photo"))


def test_what_is_written_from_them_is_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place, dest = str(write_tfrecords(tmp_path / "theirs")), str(tmp_path / "ours")
    assert main(["data", "write", place, dest, "--processes", "2", "--num-shards", "2"]) == 0
    assert "pictures from image/encoded, labels from image/class/label" in capsys.readouterr().err
    source, records = open_source(place), open_records(dest)
    assert [records.id(number) for number in range(10)] == [source.row(number).id for number in range(10)]
    assert records.manifest.splits == {"train": 5, "validation": 5, "test": 0}
    assert verify_records(dest).ok


def test_ours_can_be_read_as_anyones(tmp_path: Path) -> None:
    """A shard, by the features it has, as other tools see it."""
    assert main(["data", "write", str(write_folder(tmp_path / "photos")), str(tmp_path / "set")]) == 0
    ours, theirs = open_source(str(tmp_path / "set")), open_source(str(tmp_path / "set"), "tfrecord")
    assert theirs.classes == ours.classes
    for number in range(len(ours)):
        mine, other = ours[number].image, theirs[number].image
        assert mine == other if isinstance(mine, Encoded) else np.array_equal(mine, other)


def test_show_names_the_features(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "show", str(write_tfrecords(tmp_path / "a")), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["features"][3] == {
        "name": "image/object/bbox/xmin",
        "kinds": ["float"],
        "records": 10,
        "values": [2, 2],
    }
    assert (shown["image_feature"], shown["label_feature"]) == ("image/encoded", "image/class/label")
    unlabelled: list[Example] = [{"audio": b"...", "rate": [44100] * number} for number in (1, 2)]
    path = str(write_tfrecord(tmp_path / "b.tfrecord", unlabelled))
    assert main(["data", "show", path]) == 0
    told = capsys.readouterr().out
    assert ["rate", "int64", "2", "1", "to", "2"] in [line.split() for line in told.splitlines()]
    assert "--image-feature NAME" in told


BAD: dict[str, tuple[bytes, str]] = {
    "a cut file": (tfrecord_bytes([b"", b"abc"])[:-3], "record 1 of .*, at byte 16, is damaged: truncated"),
    "a flipped byte": (
        tfrecord_bytes([b"abc"]).replace(b"abc", b"abd"),
        "record 0 of .* is damaged: checksum of the data",
    ),
    "a flipped length": (tfrecord_bytes([b""]) + b"!" * 20, "record 1 of .*, at byte 16, is damaged: length"),
    "another message": (tfrecord_bytes([b"\x09" + bytes(8)]), "record 0 of .* is not a tf.train.Example"),
    "no records": (b"", "holds no TFRecord files"),
    "gzip": (gzip.compress(tfrecord_bytes([b""])), "compressed as a whole"),
    "zlib": (zlib.compress(tfrecord_bytes([b""])), "compressed as a whole"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_told(tmp_path: Path, name: str) -> None:
    content, message = BAD[name]
    path = tmp_path / "a.tfrecord"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=message):
        open_source(str(path), "tfrecord")


BAD_RECORDS: dict[str, tuple[Example, str]] = {
    "no label": ({"image": picture("PNG")}, "record 6 .* must have one label in label"),
    "two labels": ({"image": picture("PNG"), "label": [1, 2]}, "record 6 .* must have one label in label"),
    "two pictures": ({"image": [b"a", b"b"], "label": 1}, "record 6 .* must have one picture in image"),
    "no picture": ({"image": b"GIF89a", "label": 1}, "record 6 .* is not a picture"),
}


@pytest.mark.parametrize("name", BAD_RECORDS)
def test_bad_records_are_told(tmp_path: Path, name: str) -> None:
    bad, message = BAD_RECORDS[name]
    with pytest.raises(SourceError, match=message):
        open_source(str(write_tfrecord(tmp_path / "a.tfrecord", [*_examples(), bad])))


def test_one_class_is_none(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="at least two classes"):
        open_source(str(write_tfrecord(tmp_path / "a.tfrecord", _examples(label=3))))
