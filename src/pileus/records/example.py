"""The one tf.train.Example that Pileus writes, encoded and decoded by hand.

Only this message is needed, so protobuf is not: it serves the tests as the oracle. Map entries are sorted by
name, so that equal content gives equal bytes.

    Example { features: Features = 1 }    Features { feature: map<string, Feature> = 1 }
    Feature { bytes_list: BytesList = 1 | int64_list: Int64List = 3 }    both lists: repeated value = 1
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Literal, NamedTuple

ImageFormat = Literal["raw", "jpeg", "png"]
FORMATS: tuple[ImageFormat, ...] = ("raw", "jpeg", "png")
"""The index stores the position in this tuple: append only."""

SPLITS = ("train", "validation", "test")
"""Likewise."""

_BYTES_LIST, _INT64_LIST = 1, 3
_LENGTH_DELIMITED = 2


class Example(NamedTuple):
    """One labelled image as it stands in a record."""

    image: bytes
    """Raw: H*W*C bytes, row by row; else a picture file."""
    format: ImageFormat
    height: int
    width: int
    channels: int
    label: int
    class_text: str
    id: str
    split: int
    """Position in SPLITS."""


class Malformed(ValueError):  # noqa: N818 - a state of the bytes; its readers turn it into Damaged with a place
    """The bytes are not an Example that Pileus wrote."""


def encode(example: Example) -> tuple[bytes, int]:
    """The message, and the offset of the image's bytes within it."""
    before, after = around(example)
    return b"".join((before, example.image, after)), len(before)


def around(example: Example) -> tuple[bytes, bytes]:
    """What of the message comes before the image's bytes, and what after them."""
    before = (
        _number(b"image/channels", example.channels)
        + _number(b"image/class/label", example.label)
        + _text(b"image/class/text", example.class_text)
        + _entry_head(b"image/encoded", len(example.image))
    )
    after = (
        _text(b"image/format", example.format)
        + _number(b"image/height", example.height)
        + _entry_head(b"image/id", len(sample_id := example.id.encode()))
        + sample_id
        + _number(b"image/split", example.split)
        + _number(b"image/width", example.width)
    )
    return _head(1, len(before) + len(example.image) + len(after)) + before, after


def decode(data: bytes) -> tuple[Example, int]:
    """The message's content, and the offset of the image's bytes. Malformed where it is anything else."""
    spans: dict[str, tuple[int, int]] = {}
    numbers: dict[str, int] = {}
    try:
        (start, stop) = _only_field(data, 0, len(data), 1)
        for number, entry_start, entry_stop in _fields(data, start, stop):
            if number != 1:
                raise Malformed("a field that is no feature")
            name, kind, value = _read_entry(data, entry_start, entry_stop)
            if kind == _BYTES_LIST:
                spans[name] = _only_field(data, *value, 1)
            else:
                numbers[name] = read_varint(data, *_only_field(data, *value, 1))[0]
        texts = {name: data[slice(*spans[name])].decode() for name in _TEXTS}
        image = data[slice(*spans["image/encoded"])]
        if texts["image/format"] not in FORMATS or numbers["image/split"] >= len(SPLITS):
            raise Malformed("an unknown image format or split")
        if len(spans) + len(numbers) != _FEATURES:
            raise Malformed("an unknown feature")
        example = Example(
            image=image,
            format=texts["image/format"],
            height=numbers["image/height"],
            width=numbers["image/width"],
            channels=numbers["image/channels"],
            label=numbers["image/class/label"],
            class_text=texts["image/class/text"],
            id=texts["image/id"],
            split=numbers["image/split"],
        )
    except (KeyError, IndexError, UnicodeDecodeError) as error:
        raise Malformed(f"not an image example ({error})") from error
    return example, spans["image/encoded"][0]


_TEXTS = ("image/class/text", "image/format", "image/id")
_FEATURES = 9


def _head(number: int, length: int) -> bytes:
    """Tag and length of a length-delimited field."""
    return bytes([number << 3 | _LENGTH_DELIMITED]) + _varint(length)


def _varint(value: int) -> bytes:
    if value < 0x80:
        return bytes([value])
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


@lru_cache(maxsize=4096)
def _entry_head(name: bytes, length: int) -> bytes:
    """All of a map entry of one bytes value but the value's `length` bytes, which end it."""
    items = _head(1, length)
    feature = _head(_BYTES_LIST, len(items) + length) + items
    entry = _head(1, len(name)) + name + _head(2, len(feature) + length) + feature
    return _head(1, len(entry) + length) + entry


@lru_cache(maxsize=4096)
def _text(name: bytes, value: str) -> bytes:
    encoded = value.encode()
    return _entry_head(name, len(encoded)) + encoded


@lru_cache(maxsize=4096)
def _number(name: bytes, value: int) -> bytes:
    packed = _varint(value)
    items = _head(1, len(packed)) + packed
    feature = _head(_INT64_LIST, len(items)) + items
    entry = _head(1, len(name)) + name + _head(2, len(feature)) + feature
    return _head(1, len(entry)) + entry


def _fields(data: bytes, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """(number, start, stop) of each length-delimited field in [start, stop)."""
    while start < stop:
        tag, start = read_varint(data, start, stop)
        if tag & 7 != _LENGTH_DELIMITED:
            raise Malformed(f"a field of wire type {tag & 7}")
        length, start = read_varint(data, start, stop)
        if length > stop - start:
            raise Malformed("a field that ends outside its message")
        yield tag >> 3, start, start + length
        start += length


def _only_field(data: bytes, start: int, stop: int, number: int) -> tuple[int, int]:
    """The span of the one field of a message that has just this one."""
    (found, field_start, field_stop), *more = list(_fields(data, start, stop)) or [(0, 0, 0)]
    if found != number or more:
        raise Malformed("a message without its one field")
    return field_start, field_stop


def _read_entry(data: bytes, start: int, stop: int) -> tuple[str, int, tuple[int, int]]:
    """(name, kind of list, span of the list) of one map entry."""
    parts = {number: (field_start, field_stop) for number, field_start, field_stop in _fields(data, start, stop)}
    if parts.keys() != {1, 2}:
        raise Malformed("a map entry without name and value")
    (kind, list_start, list_stop), *more = list(_fields(data, *parts[2])) or [(0, 0, 0)]
    if kind not in (_BYTES_LIST, _INT64_LIST) or more:
        raise Malformed("a feature that is neither bytes nor integers")
    return data[slice(*parts[1])].decode(), kind, (list_start, list_stop)


def read_varint(data: bytes, start: int, stop: int) -> tuple[int, int]:
    """The number at `start` and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        if start >= stop:
            raise Malformed("a number that is cut off")
        byte = data[start]
        start += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, start
    raise Malformed("a number of more than ten bytes")
