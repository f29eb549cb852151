"""Records against protobuf itself, over whatever an image, a class name or an id may be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.errors import Damaged
from pileus.records import example as examples
from pileus.records import frame, index
from pileus.records.example import Example, Malformed
from pileus.records.features import features_of
from tests.contracts.oracle import ORACLE, example_bytes

texts = st.text(st.characters(codec="utf-8"), max_size=40)
written = st.builds(
    Example,
    image=st.binary(max_size=300) | st.integers(0, 1 << 20).map(bytes),
    format=st.sampled_from(examples.FORMATS),
    height=st.integers(1, 1 << 31),
    width=st.integers(1, 1 << 31),
    channels=st.sampled_from([1, 3]),
    label=st.integers(0, (1 << 31) - 1),
    class_text=texts,
    id=texts,
    split=st.sampled_from([0, 1, 2]),
)


@given(written)
def test_protobuf_reads_what_is_written(example: Example) -> None:
    data, image_offset = examples.encode(example)
    feature = ORACLE.FromString(data).features.feature
    assert data[image_offset : image_offset + len(example.image)] == example.image
    assert {name: list(feature[name].bytes_list.value) for name in feature if feature[name].bytes_list.value} == {
        "image/encoded": [example.image],
        "image/format": [example.format.encode()],
        "image/class/text": [example.class_text.encode()],
        "image/id": [example.id.encode()],
    }
    assert {name: list(feature[name].int64_list.value) for name in feature if feature[name].int64_list.value} == {
        "image/height": [example.height],
        "image/width": [example.width],
        "image/channels": [example.channels],
        "image/class/label": [example.label],
        "image/split": [example.split],
    }


@given(written)
def test_equal_content_is_protobufs_own_deterministic_encoding(example: Example) -> None:
    data, _ = examples.encode(example)
    assert ORACLE.FromString(data).SerializeToString(deterministic=True) == data


@given(written, st.randoms(use_true_random=False))
def test_what_protobuf_writes_in_any_order_is_read(example: Example, random: Any) -> None:
    data, _ = examples.encode(example)
    entries = list(ORACLE.FromString(data).features.feature.items())
    random.shuffle(entries)
    shuffled = b"".join(
        ORACLE(features={"feature": {name: value}}).features.SerializeToString() for name, value in entries
    )
    whole = b"\x0a" + examples._varint(len(shuffled)) + shuffled
    decoded, image_offset = examples.decode(whole)
    assert decoded == example
    assert whole[image_offset : image_offset + len(example.image)] == example.image


@given(written)
def test_what_is_written_is_read(example: Example) -> None:
    data, image_offset = examples.encode(example)
    assert examples.decode(data) == (example, image_offset)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        examples.decode(data)
    except Malformed:
        return
    assert ORACLE.FromString(data) is not None


@given(written, st.data())
def test_a_changed_record_is_read_or_refused(example: Example, choice: st.DataObject) -> None:
    data = bytearray(examples.encode(example)[0])
    position = choice.draw(st.integers(0, len(data) - 1))
    data[position] ^= choice.draw(st.integers(1, 255))
    for changed in (bytes(data), bytes(data[:position])):
        try:
            examples.decode(changed)
        except Malformed:
            continue


@given(st.binary(max_size=200), st.data())
def test_no_changed_byte_of_a_frame_goes_unseen(data: bytes, choice: st.DataObject) -> None:
    crc = frame.crc32c(data)
    framed = bytearray(frame.header(len(data)) + data + frame.footer(crc))
    position = choice.draw(st.integers(0, len(framed) - 1))
    framed[position] ^= choice.draw(st.integers(1, 255))
    head, body, foot = framed[:12], framed[12:-4], framed[-4:]
    whole = frame.header_length(bytes(head)) == len(data) and frame.footer(frame.crc32c(bytes(body))) == bytes(foot)
    assert not whole


ids = st.lists(texts, unique=True, max_size=20)


@given(ids)
def test_an_index_is_read_as_it_was_written(sample_ids: list[str]) -> None:
    written_index = _index(sample_ids)
    read = index.decode(index.encode(written_index), "index.bin")
    assert [read.id(position) for position in range(len(read))] == sample_ids
    for name in index.DTYPES:
        assert np.array_equal(getattr(read, name), getattr(written_index, name))


@given(ids, st.data())
def test_no_changed_byte_of_an_index_goes_unseen(sample_ids: list[str], choice: st.DataObject) -> None:
    content = bytearray(index.encode(_index(sample_ids)))
    position = choice.draw(st.integers(0, len(content) - 1))
    content[position] ^= choice.draw(st.integers(1, 255))
    for changed in (bytes(content), bytes(content[:position])):
        with pytest.raises(Damaged):
            index.decode(changed, "index.bin")


def _index(sample_ids: list[str]) -> index.Index:
    starts, text = index.id_table(sample_ids)
    numbers = np.random.default_rng(len(sample_ids))
    columns = {
        name: numbers.integers(0, 100, len(sample_ids)).astype(dtype)
        for name, dtype in index.DTYPES.items()
        if name not in ("id_start", "id_text")
    }
    return index.Index(id_start=starts, id_text=text, **columns)


_lists: st.SearchStrategy[Any] = (
    st.lists(st.binary(max_size=20), min_size=1, max_size=4)
    | st.lists(st.integers(-(1 << 63), (1 << 63) - 1), min_size=1, max_size=4)
    | st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=4)
)


@given(st.dictionaries(texts, _lists, max_size=5))
def test_any_features_that_protobuf_writes_are_read(features: dict[str, list[Any]]) -> None:
    data = example_bytes(features)
    found = features_of(data)
    assert found.keys() == features.keys()
    for name, values in features.items():
        assert found[name].num_values == len(values)
        if isinstance(values[0], int):
            assert (found[name].kind, list(found[name].numbers)) == ("int64", values)
        elif isinstance(values[0], bytes):
            assert [data[slice(*span)] for span in found[name].spans] == values
        else:
            assert found[name].kind == "float"


@given(st.binary(max_size=200))
def test_any_bytes_are_features_or_refused(data: bytes) -> None:
    try:
        features_of(data)
    except Malformed:
        return
    assert ORACLE.FromString(data) is not None
