"""Any tf.train.Example, as TensorFlow and others write it: names, kinds and values of its features.

Read by hand as `example` is. Values come in the packed and the plain form; fields that the message does not have are
refused, so that other messages in TFRecord files (tf.train.SequenceExample, events) are told apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from pileus.records.example import Malformed, read_varint

Kind = Literal["bytes", "float", "int64", "empty"]
_KINDS: dict[int, Kind] = {1: "bytes", 2: "float", 3: "int64"}
_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5
_FLOAT_BYTES = 4
_MAX_FEATURES = 4096


class Feature(NamedTuple):
    kind: Kind
    num_values: int
    spans: tuple[tuple[int, int], ...] = ()
    """Of bytes: [start, stop) of each value within the record's data."""
    numbers: tuple[int, ...] = ()
    """Of int64: the values."""


def features_of(data: bytes) -> dict[str, Feature]:
    """All features by name. Malformed where the bytes are not a tf.train.Example."""
    found: dict[str, Feature] = {}
    try:
        for start, stop in _messages(data, 0, len(data), 1):
            for entry in _messages(data, start, stop, 1):
                name, feature = _entry(data, *entry)
                found[name] = feature
                if len(found) > _MAX_FEATURES:
                    raise Malformed(f"more than {_MAX_FEATURES} features")
    except UnicodeDecodeError as error:
        raise Malformed("a name that is not text") from error
    return found


def _entry(data: bytes, start: int, stop: int) -> tuple[str, Feature]:
    name, value = "", (0, 0)
    for number, wire, first, last in _fields(data, start, stop):
        if wire != _DELIMITED or number not in (1, 2):
            raise Malformed("an entry that is not a name and a feature")
        if number == 1:
            name = data[first:last].decode()
        else:
            value = (first, last)
    feature = Feature("empty", 0)
    for number, wire, first, last in _fields(data, *value):
        if wire != _DELIMITED or number not in _KINDS:
            raise Malformed("a feature of an unknown kind")
        feature = _values(data, _KINDS[number], first, last)
    return name, feature


def _values(data: bytes, kind: Kind, start: int, stop: int) -> Feature:
    if kind == "bytes":
        spans = tuple(_messages(data, start, stop, 1))
        return Feature(kind, len(spans), spans=spans)
    numbers: list[int] = []
    num_floats = 0
    for number, wire, first, last in _fields(data, start, stop):
        if number != 1 or wire not in (_DELIMITED, _VARINT if kind == "int64" else _FIXED32):
            raise Malformed("a list of another kind than it says")
        if kind == "float":
            num_floats += (last - first) // _FLOAT_BYTES
            continue
        while first < last:
            value, first = read_varint(data, first, last)
            numbers.append(value - (1 << 64) if value >= 1 << 63 else value)
    return Feature(kind, len(numbers) + num_floats, numbers=tuple(numbers))


def _messages(data: bytes, start: int, stop: int, number: int) -> Iterator[tuple[int, int]]:
    """Spans of the fields of a message that has only fields of this number."""
    for found, wire, first, last in _fields(data, start, stop):
        if found != number or wire != _DELIMITED:
            raise Malformed(f"field {found}, which no tf.train.Example has")
        yield first, last


def _fields(data: bytes, start: int, stop: int) -> Iterator[tuple[int, int, int, int]]:
    """(number, wire type, start, stop) of each field in [start, stop)."""
    while start < stop:
        tag, start = read_varint(data, start, stop)
        wire, end = tag & 7, start
        if wire == _VARINT:
            _, end = read_varint(data, start, stop)
        elif wire == _DELIMITED:
            length, start = read_varint(data, start, stop)
            end = start + length
        elif wire in (_FIXED32, _FIXED64):
            end = start + (4 if wire == _FIXED32 else 8)
        else:
            raise Malformed(f"a field of wire type {wire}")
        if end > stop:
            raise Malformed("a field that ends outside its message")
        yield tag >> 3, wire, start, end
        start = end
