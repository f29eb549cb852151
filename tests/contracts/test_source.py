"""What every source must keep to, whatever its images come from."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from pileus.data.decode import decode
from pileus.data.ports import Encoded, Split
from pileus.data.sources.feedback import Correction, Head, MediaType, prepare_place
from pileus.data.sources.joined import Joint, join
from pileus.data.sources.open import open_source
from pileus.data.sources.ports import ListedSource
from pileus.data.write import write_records
from pileus.preprocessing.lattice import Box
from pileus.spec.preprocessing import Drawing
from pileus.store import open_store
from tests.contracts.tiny import (
    write_cifar,
    write_folder,
    write_idx,
    write_manifest,
    write_split_folder,
    write_tfrecords,
)

Writer = Callable[[Path], Path]


def _write_record_set(folder: Path) -> Path:
    write_records(open_source(str(write_folder(folder / "from"))), str(folder / "records"))
    return folder / "records"


def _write_feedback(folder: Path) -> Path:
    """Two digits of one drawing, one of them corrected twice, and raw input."""
    store = open_store(folder)
    prepare_place(store, Head(classes=("1", "7", "8"), preprocessing=Drawing()))
    strokes = b'{"strokes": [[[10, 10], [90, 12], [40, 95]], [[210, 5], [208, 95]]]}'
    told: list[tuple[str, MediaType, bytes, Box, str, float]] = [
        ("a", "application/json", strokes, (10, 10, 80, 85), "1", 2.0),
        ("b", "application/json", strokes, (10, 10, 80, 85), "7", 3.0),
        ("a", "application/json", strokes, (208, 5, 2, 90), "1", 1.0),
        ("c", "application/octet-stream", bytes(range(196)) * 4, (0, 0, 28, 28), "8", 0.0),
    ]
    for number, (request_id, media_type, content, box, label, corrected_s) in enumerate(told):
        correction = Correction(
            request_id=request_id,
            item=number,
            label=label,
            media_type=media_type,
            input=content,
            whole=False,
            box=box,
            answered="8",
            confidence=0.5,
            model="0" * 64,
            answered_s=0.0,
            corrected_s=corrected_s,
        )
        store.put(correction.key, msgspec.json.encode(correction))
    return folder


_WRITTEN: dict[str, tuple[str, Writer]] = {
    "idx": ("idx", write_idx),
    "idx, plain": ("idx", lambda folder: write_idx(folder, compress=False)),
    "idx, one pair": ("idx", lambda folder: write_idx(folder) / "train-images-idx3-ubyte.gz"),
    "cifar": ("cifar", write_cifar),
    "cifar, plain": ("cifar", lambda folder: write_cifar(folder, compress=False)),
    "folder": ("folder", write_folder),
    "folder with splits": ("folder", write_split_folder),
    "manifest, csv": ("manifest", write_manifest),
    "manifest, jsonl": ("manifest", lambda folder: write_manifest(folder, suffix=".jsonl")),
    "records": ("records", _write_record_set),
    "feedback": ("feedback", _write_feedback),
    "tfrecord": ("tfrecord", write_tfrecords),
    "tfrecord, one file": ("tfrecord", lambda folder: write_tfrecords(folder) / "train-00000-of-00001"),
}
_EMBEDDED = ("embedded:digits", "embedded:outliers", "embedded:several", "embedded:strokes")


@pytest.fixture(params=[*_WRITTEN, *_EMBEDDED, "joined"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, ListedSource]:
    """The expected kind, and the source."""
    if request.param in _EMBEDDED:
        if request.param == "embedded:digits":
            pytest.importorskip("sklearn", reason="embedded:digits needs scikit-learn")
        return request.param, open_source(request.param)
    if request.param == "joined":
        joints = [Joint(place, open_source(str(write_idx(tmp_path / place)))) for place in ("one", "other")]
        return "joined", join([*joints, joints[0]], none="1", validation=0.3)
    kind, write = _WRITTEN[request.param]
    return kind, open_source(f"file:{write(tmp_path / 'source')}")


@pytest.fixture
def source(opened: tuple[str, ListedSource]) -> ListedSource:
    return opened[1]


def _some(source: ListedSource) -> list[int]:
    """A few positions, the first and the last among them."""
    return sorted({0, 1, len(source) // 2, len(source) - 2, len(source) - 1})


def _same(one: NDArray[np.uint8] | Encoded, other: NDArray[np.uint8] | Encoded) -> bool:
    if isinstance(one, Encoded) or isinstance(other, Encoded):
        return isinstance(one, Encoded) and isinstance(other, Encoded) and one == other
    return np.array_equal(one, other)


def test_the_kind_is_found_out(opened: tuple[str, ListedSource]) -> None:
    kind, source = opened
    assert source.kind == kind


def test_images_are_bytes_of_one_or_three_channels(source: ListedSource) -> None:
    for position in _some(source):
        image = source[position].image
        if isinstance(image, Encoded):
            assert image.format in ("png", "jpeg")
            image = decode(image.content, "image")
        assert image.dtype == np.uint8
        assert image.ndim == 3
        assert image.shape[2] in (1, 3)


def test_the_model_input_is_the_shape_of_the_images(source: ListedSource) -> None:
    if source.preprocessing is None:
        return
    wanted = source.preprocessing
    for position in _some(source):
        image = source[position].image
        assert not isinstance(image, Encoded)
        assert image.shape == (wanted.height, wanted.width, wanted.channels)


def test_there_are_classes_and_every_label_is_one(source: ListedSource) -> None:
    assert len(source.classes) >= 2
    assert len(set(source.classes)) == len(source.classes)
    for position in range(0, len(source), 7):
        assert 0 <= source.row(position).label < len(source.classes)


def test_a_row_says_of_a_sample_what_the_sample_says(source: ListedSource) -> None:
    for position in _some(source):
        assert tuple(source.row(position)) == source[position][1:]


def test_ids_tell_all_samples_apart(source: ListedSource) -> None:
    ids = {source.row(position).id for position in range(len(source))}
    assert len(ids) == len(source) > 0


def test_splits_are_known_ones_or_left_open(source: ListedSource) -> None:
    assert {source.row(position).split for position in range(len(source))} <= {None, *Split}


def test_a_position_outside_is_an_index_error(source: ListedSource) -> None:
    for position in (-1, len(source)):
        with pytest.raises(IndexError):
            source[position]
        with pytest.raises(IndexError):
            source.row(position)


def test_another_process_sees_the_same(source: ListedSource) -> None:
    again = pickle.loads(pickle.dumps(source))
    assert (len(again), again.classes, again.fingerprint) == (len(source), source.classes, source.fingerprint)
    for position in _some(source):
        mine, other = source[position], again[position]
        assert mine[1:] == other[1:]
        assert _same(mine.image, other.image)


@pytest.mark.parametrize("name", _WRITTEN)
def test_equal_content_has_an_equal_fingerprint(name: str, tmp_path: Path) -> None:
    _, write = _WRITTEN[name]
    first, second = (open_source(str(write(tmp_path / place))) for place in ("one", "two"))
    assert first.fingerprint == second.fingerprint
    assert len(first.fingerprint) == 64


def test_one_changed_pixel_changes_the_fingerprint(tmp_path: Path) -> None:
    before = open_source(str(write_idx(tmp_path / "a", compress=False))).fingerprint
    path = tmp_path / "a" / "train-images-idx3-ubyte"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert open_source(str(tmp_path / "a")).fingerprint != before


def test_one_changed_file_name_or_byte_changes_the_fingerprint(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "a")
    prints = [open_source(str(folder)).fingerprint]
    (folder / "cat" / "0.png").rename(folder / "cat" / "9.png")
    prints.append(open_source(str(folder)).fingerprint)
    (folder / "cat" / "9.png").write_bytes((folder / "cat" / "1.png").read_bytes())
    prints.append(open_source(str(folder)).fingerprint)
    assert len(set(prints)) == 3


def test_the_newest_correction_of_an_item_counts(tmp_path: Path) -> None:
    source = open_source(str(_write_feedback(tmp_path / "feedback")))
    labels = [source.classes[source.row(position).label] for position in range(len(source))]
    assert sorted(labels) == ["1", "7", "8"]
