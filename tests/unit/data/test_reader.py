"""A batch is a pure function of records, sampling, epoch and step: whoever reads it, in whatever way, from wherever."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from pileus.data.batches import Batches, Place, share
from pileus.data.ports import Split
from pileus.data.reader import Batch, Reader
from pileus.errors import Damaged, PileusError, SourceError, SpecError, UsageError
from pileus.preprocessing.pictures import read_picture
from pileus.records import RecordSet
from pileus.spec.augment import Augment, Cutmix, Mixup, PadCrop, ResizedCrop
from pileus.spec.preprocessing import Picture
from pileus.spec.reading import Reading, Sampling
from tests.unit.data.photos import jpeg_set, photo_set, raw_set

CROPPED = Augment(flip=0.5, crop=ResizedCrop(area_min=0.3), brightness=0.2)
PADDED = Augment(flip=0.5, crop=PadCrop(padding=2), mix=Mixup(alpha=0.5))
KINDS: dict[str, tuple[Callable[[Path], RecordSet], Sampling]] = {
    "raw": (raw_set, Sampling(batch_size=16, microbatch_size=6, seed=3, augment=PADDED)),
    "jpeg": (jpeg_set, Sampling(batch_size=8, seed=3, augment=CROPPED)),
    "photographs": (photo_set, Sampling(batch_size=8, microbatch_size=3, seed=3, size=(32, 40), augment=CROPPED)),
    "photographs in the middle": (
        photo_set,
        Sampling(batch_size=8, seed=3, size=(16, 16), augment=Augment(flip=0.5, mix=Cutmix())),
    ),
}
STREAMED = Reading(memory_bytes=0, readers=2, ahead=3)


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def records(kind: str, tmp_path_factory: pytest.TempPathFactory) -> RecordSet:
    return KINDS[kind][0](tmp_path_factory.mktemp("records"))


@pytest.fixture(scope="module")
def sampling(kind: str) -> Sampling:
    return KINDS[kind][1]


@pytest.fixture(scope="module")
def wanted(records: RecordSet, sampling: Sampling) -> list[bytes]:
    """Two epochs by one reader without memory."""
    with Reader(records, sampling, Reading(memory_bytes=0, readers=1, ahead=1)) as reader:
        return bits(reader.batches(range(2)))


def bits(batches: Iterable[Batch]) -> list[bytes]:
    """Everything that a batch holds."""
    told = []
    for batch in batches:
        pairs = b"" if batch.pairs is None else b"".join(part.tobytes() for part in batch.pairs)
        arrays = batch.images_NHWC.tobytes() + batch.labels_N.tobytes() + batch.positions_N.tobytes()
        told.append(b"%d/%d " % (batch.epoch, batch.step) + arrays + pairs)
    return told


@pytest.mark.parametrize("readers", [1, 2, 3, 8])
@pytest.mark.parametrize("ahead", [1, 7])
def test_the_number_of_readers_changes_nothing(
    records: RecordSet, sampling: Sampling, wanted: list[bytes], readers: int, ahead: int
) -> None:
    with Reader(records, sampling, Reading(memory_bytes=0, readers=readers, ahead=ahead)) as reader:
        assert reader.way == "streamed"
        assert bits(reader.batches(range(2))) == wanted


@pytest.mark.parametrize("readers", [None, 2])
def test_what_is_held_in_memory_gives_the_same(
    kind: str, records: RecordSet, sampling: Sampling, wanted: list[bytes], readers: int | None
) -> None:
    with Reader(records, sampling, Reading(readers=readers, memory_bytes=1 << 30)) as reader:
        assert reader.way == ("mapped" if kind == "raw" else "resident")
        assert bits(reader.batches(range(2))) == wanted
        assert bits(reader.epoch(1)) == wanted[len(wanted) // 2 :]


def test_a_reader_that_starts_at_any_step_gives_the_same_remainder(
    records: RecordSet, sampling: Sampling, wanted: list[bytes]
) -> None:
    with Reader(records, sampling, STREAMED) as reader:
        steps = reader.steps_per_epoch
        for start in range(2 * steps + 1):
            epoch, step = divmod(start, steps)
            assert bits(reader.batches(range(epoch, max(epoch, 2)), step=step if epoch < 2 else 0)) == wanted[start:]


def test_readers_may_change_in_the_middle_of_an_epoch(
    records: RecordSet, sampling: Sampling, wanted: list[bytes]
) -> None:
    taken: list[bytes] = []
    for readers, count in ((3, 2), (1, 1), (8, 99)):
        with Reader(records, sampling, Reading(memory_bytes=0, readers=readers)) as reader:
            epoch, step = divmod(len(taken), reader.steps_per_epoch)
            some = reader.batches(range(epoch, 2), step=step)
            taken += bits(batch for _, batch in zip(range(count), some, strict=False))
    assert taken == wanted


@pytest.mark.parametrize("num_workers", [2, 3])
def test_the_parts_of_workers_make_the_batch(
    records: RecordSet, sampling: Sampling, wanted: list[bytes], num_workers: int
) -> None:
    readers = [Reader(records, sampling, STREAMED, rank=rank, num_workers=num_workers) for rank in range(num_workers)]
    whole = []
    for parts in zip(*(reader.batches(range(2)) for reader in readers), strict=True):
        arrays = zip(*(part[2:] for part in parts if len(part.labels_N)), strict=True)
        images_NHWC, labels_N, pairs, positions_N = arrays
        joined = [np.concatenate(column) for column in zip(*pairs, strict=True)] if pairs[0] is not None else None
        told = bits(
            [
                Batch(
                    parts[0].epoch,
                    parts[0].step,
                    np.concatenate(images_NHWC),
                    np.concatenate(labels_N),
                    None,
                    np.concatenate(positions_N),
                )
            ]
        )[0]
        whole.append(told + b"".join(part.tobytes() for part in joined or []))
    for reader in readers:
        reader.close()
    assert whole == wanted


def test_every_sample_comes_once_an_epoch(records: RecordSet, sampling: Sampling) -> None:
    train = np.flatnonzero(records.splits == Split.TRAIN).tolist()
    with Reader(records, sampling, STREAMED) as reader:
        epochs = [np.concatenate([batch.positions_N for batch in reader.epoch(epoch)]) for epoch in (0, 1)]
        assert len(reader) == len(train)
    assert [sorted(epoch.tolist()) for epoch in epochs] == [train, train]
    assert epochs[0].tolist() != epochs[1].tolist()


def test_the_golden_bits(tmp_path: Path) -> None:
    """Pinned: order, augmentation and mixing, as a run that is resumed by a later version must see them."""
    with Reader(raw_set(tmp_path), KINDS["raw"][1]) as reader:
        assert hashlib.sha256(b"".join(bits(reader.batches(range(2))))).hexdigest()[:16] == "2c9a505695c74778"


def test_samples_have_names(records: RecordSet, sampling: Sampling) -> None:
    with Reader(records, sampling) as reader:
        batch = next(reader.epoch(0))
        assert reader.classes == records.classes
        position = int(batch.positions_N[5])
        assert (reader.id(position), batch.labels_N[5]) == (records.id(position), records.labels[position])


def test_untouched_photographs_are_what_serving_sees(tmp_path: Path) -> None:
    records = photo_set(tmp_path)
    with Reader(records, Sampling(batch_size=5, size=(24, 32), split="test")) as reader:
        for batch in reader.epoch(0):
            for image_HWC, position in zip(batch.images_NHWC, batch.positions_N.tolist(), strict=True):
                if records.format(position) == "jpeg":
                    served = read_picture(bytes(records[position]), Picture(height=24, width=32))
                    assert np.array_equal(image_HWC, served)


def test_it_tells_what_it_waited_for_and_what_pillow_did(tmp_path: Path) -> None:
    with Reader(photo_set(tmp_path), Sampling(size=(16, 16)), STREAMED) as reader:
        list(reader.epoch(0))
        assert reader.stall_s > 0
        assert 0 < reader.by_pillow < len(reader) / 4


def test_a_reader_left_in_the_middle_of_an_epoch_begins_another(tmp_path: Path) -> None:
    with Reader(raw_set(tmp_path), Sampling(batch_size=4), STREAMED) as reader:
        whole = bits(reader.epoch(5))
        left = reader.epoch(5)
        next(left)
        assert bits(reader.epoch(5)) == whole
        with pytest.raises(UsageError, match="another iteration"):
            next(left)


@pytest.mark.parametrize(
    ("sampling", "error", "message"),
    [
        (Sampling(), SourceError, r"vary in size.*data\.size"),
        (Sampling(size=(8, 8), augment=Augment(cutout=8)), SpecError, "cutout must be below"),
    ],
)
def test_what_cannot_be_read_is_told(
    tmp_path: Path, sampling: Sampling, error: type[PileusError], message: str
) -> None:
    with pytest.raises(error, match=message):
        Reader(photo_set(tmp_path, 12), sampling)


def test_an_empty_split_a_strange_rank_and_a_step_outside_are_told(tmp_path: Path) -> None:
    records = raw_set(tmp_path, 5)
    with pytest.raises(UsageError, match="no sample in split 'test'"):
        Reader(records, Sampling(split="test"))
    with pytest.raises(UsageError, match=r"rank must be in \[0, num_workers\) \(got rank=2, num_workers=2\)"):
        Reader(records, rank=2, num_workers=2)
    with Reader(records, Sampling(batch_size=2)) as reader:
        for epochs, step in ((range(1), 4), (range(1), -1), (range(-1, 2), 0)):
            with pytest.raises(UsageError, match=r"starts at epoch 0 or later and a step in \[0, 3\]"):
                reader.batches(epochs, step=step)


def test_a_damaged_record_ends_the_epoch_and_is_named(tmp_path: Path) -> None:
    records = raw_set(tmp_path, shards=1)
    shard = next(tmp_path.glob("*.tfrecord"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    for memory_bytes in (0, 1 << 20):
        reading = Reading(memory_bytes=memory_bytes, readers=2)
        with (
            pytest.raises(Damaged, match=r"record \d+ of shard-00000-of-00001\.tfrecord"),
            Reader(records, Sampling(batch_size=8), reading) as reader,
        ):
            list(reader.epoch(0))


def test_places_are_dealt_out_wholly_and_apart() -> None:
    batches = Batches(103, batch_size=20, microbatch_size=3, seed=0)
    parts = [list(batches.places(range(2), 1, partial(share, rank, 3))) for rank in range(3)]
    places = [place for part in parts for place in part]
    assert len(places) == len(set(places))
    assert set(places) == set(batches.places(range(2), 1, partial(share, 0, 1)))
    assert Place(0, 0, 0) not in places and Place(1, 0, 0) in places
    assert sum(len(batches.rows(place)) for place in batches.places(range(1), 0, partial(share, 0, 1))) == 103
