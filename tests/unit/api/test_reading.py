"""`pileus.read`: the options reach the reader, and what cannot be read is told in Python's words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pileus
from pileus.data.reader import Batch, Reader
from pileus.errors import PileusError, SourceError, SpecError, UsageError
from pileus.records import open_records
from pileus.spec.augment import Augment, Mixup, ResizedCrop
from pileus.spec.reading import Reading, Sampling
from tests.contracts.tiny import write_folder, write_idx, write_manifest
from tests.unit.data.photos import photo_set, raw_set

AUGMENT = Augment(flip=0.5, crop=ResizedCrop(area_min=0.3))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("photos")
    photo_set(place)
    return place


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("raw")
    raw_set(place)
    return place


def read_all(reader: Reader, step: int = 0) -> list[Batch]:
    with reader:
        return list(reader.epoch(1, step=step))


def assert_same(ones: list[Batch], others: list[Batch]) -> None:
    for one, other in zip(ones, others, strict=True):
        assert (one.epoch, one.step) == (other.epoch, other.step)
        assert np.array_equal(one.images_NHWC, other.images_NHWC)
        assert np.array_equal(one.labels_N, other.labels_N)
        assert np.array_equal(one.positions_N, other.positions_N)


@pytest.mark.parametrize(
    "augment",
    [
        AUGMENT,
        {"flip": 0.5, "crop": {"name": "resized", "area_min": 0.3}},
        {"flip": 0.5, "crop": ResizedCrop(area_min=0.3)},
    ],
)
def test_it_reads_what_the_reader_reads(photos: Path, augment: Any) -> None:
    wanted = Sampling(batch_size=8, size=(24, 32), augment=AUGMENT, seed=5, split="train", validation=0.1)
    with Reader(open_records(str(photos)), wanted, Reading(memory_bytes=0)) as reader:
        batches = list(reader.epoch(1))
    same = pileus.read(
        photos, batch_size=8, size=(24, 32), augment=augment, seed=5, split="train", validation=0.1, readers=2, ahead=3
    )
    assert_same(read_all(same), batches)
    assert batches[0].images_NHWC.shape == (8, 24, 32, 3)
    again = pileus.read(f"file:{photos}", batch_size=8, size=(24, 32), augment=augment, seed=5, validation=0.1)
    assert_same(read_all(again, step=2), batches[2:])


@pytest.mark.parametrize("num_workers", [2, 3, 8])
def test_the_parts_of_workers_make_the_batch(photos: Path, num_workers: int) -> None:
    options: Any = {"batch_size": 8, "size": (24, 32), "augment": AUGMENT, "memory_bytes": 0}
    whole = read_all(pileus.read(photos, **options))
    parts = [
        read_all(pileus.read(photos, **options, rank=rank, num_workers=num_workers)) for rank in range(num_workers)
    ]
    assert all(len(part[0].labels_N) for part in parts)
    joined = [
        batches[0]._replace(
            images_NHWC=np.concatenate([batch.images_NHWC for batch in batches]),
            labels_N=np.concatenate([batch.labels_N for batch in batches]),
            positions_N=np.concatenate([batch.positions_N for batch in batches]),
        )
        for batches in zip(*parts, strict=True)
    ]
    assert_same(joined, whole)


def test_raw_pictures_need_no_size(raw: Path) -> None:
    with pileus.read(raw, split="test") as reader:
        assert (reader.shape, reader.way, len(reader)) == ((8, 6, 3), "mapped", 7)
        (batch,) = reader.epoch(0)
        assert (str(batch.images_NHWC.dtype), str(batch.labels_N.dtype), batch.pairs) == ("uint8", "int64", None)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"batchsize": 3}, r"no option is called 'batchsize'; did you mean 'batch_size'"),
        ({"workers": 3}, r"no option is called 'workers'; did you mean 'num_workers'"),
        ({"batch_size": 0}, r"batch_size: expected `int` >= 1 \(got 0\)"),
        ({"size": 224}, r"size: expected `array \| null`, got `int` \(got 224\)"),
        ({"split": "tarin"}, r"split is one of train, validation, test \(got 'tarin'\)"),
        ({"augment": {"flop": 0.5}}, r"'augment.flop'; did you mean 'augment.flip'"),
        ({"augment": {"crop": {"name": "pad", "area_min": 0.1}}}, r"'augment.crop.area_min' belongs to another"),
        ({"augment": {"crop": {"name": "resized", "area_min": 0.9, "area_max": 0.1}}}, r"at most area_max"),
        ({"augment": 3}, r"augment: expected `object`, got `int`"),
        ({"readers": 0}, r"readers: expected `int` >= 1 \(got 0\)"),
        ({"num_workers": 2, "augment": Augment(mix=Mixup())}, r"give all workers the same microbatch_size"),
        ({"num_workers": 3, "batch_size": 8, "microbatch_size": 4}, r"num_workers=3, batch_size=8, microbatch_size=4"),
    ],
)
def test_impossible_options_are_told(raw: Path, options: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError, match=told) as raised:
        pileus.read(raw, **options)
    assert len(str(raised.value).splitlines()) <= 2


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_rank_is_one_of_the_workers(raw: Path, num_workers: int) -> None:
    with pytest.raises(UsageError, match="rank must be in"):
        pileus.read(raw, rank=2, num_workers=num_workers)


def test_pictures_of_many_sizes_need_one(photos: Path) -> None:
    with pytest.raises(SourceError, match=r"vary in size; say what is to come out: size=\(224, 224\)"):
        pileus.read(photos)


def test_what_is_no_record_set_is_told_and_how_to_make_one(tmp_path: Path) -> None:
    places = {
        "embedded:digits": "embedded",
        str(write_folder(tmp_path / "my photos")): "folder",
        str(write_idx(tmp_path / "idx")): "idx",
        str(write_manifest(tmp_path / "listed")): "manifest",
    }
    for place, kind in places.items():
        with pytest.raises(SourceError, match=rf"takes a record set .*{kind}.*: pileus data write .* DEST"):
            pileus.read(place)
    with pytest.raises(SourceError, match=r"data write '.*my photos' DEST"):
        pileus.read(tmp_path / "my photos")


@pytest.mark.parametrize(
    ("place", "told"),
    [("nowhere", "holds no record set"), ("gopher://hole", "a place is a path or a URI"), ("memory:none", "no record")],
)
def test_a_place_with_nothing_is_told(place: str, told: str) -> None:
    with pytest.raises(PileusError, match=told):
        pileus.read(place)


def test_importing_and_reading_needs_no_torch(raw: Path) -> None:
    code = f"import pileus, sys; pileus.read({str(raw)!r}).close(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
