"""TFRecord files of any origin: found, walked record by record with every checksum verified, their features surveyed.

Compressed files are refused, since in them no record can be found without unpacking all before it.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pileus.errors import SourceError
from pileus.records import frame
from pileus.records.example import Malformed
from pileus.records.features import Feature, Kind, features_of

_NAME = re.compile(r".+\.(tfrecords?|tfrec)(-\d{5,}-of-\d{5,})?|.+-\d{5,}-of-\d{5,}(\.\w+)?|.+\.record")
_COMPRESSED = (b"\x1f\x8b", b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
_MAX_RECORDS = 1 << 28


class Found(NamedTuple):
    """One feature over all records."""

    name: str
    kinds: tuple[Kind, ...]
    records: int
    """In how many records it is."""
    values: tuple[int, int]
    """Least and greatest number of values in one."""


@dataclass(frozen=True, eq=False)
class Survey:
    """What files hold, whether or not it is labelled pictures."""

    files: tuple[Path, ...]
    records: int
    features: tuple[Found, ...]


def find_files(place: Path) -> list[Path]:
    """The TFRecord files of a folder, or the place itself: by their names, and by their first bytes."""
    if place.is_file():
        return [place] if _looks_right(place) else []
    named = [path for path in sorted(place.iterdir()) if _NAME.fullmatch(path.name) and path.is_file()]
    return [path for path in named if not path.name.startswith(".") and _looks_right(path)]


def survey_tfrecords(place: Path) -> Survey:
    """Names, kinds and counts of all features. SourceError for damaged and compressed files."""
    files = find_files(place)
    counted: dict[str, tuple[set[Kind], int, int, int]] = {}
    records = 0
    for path in files:
        for number, _, data in records_of(path):
            records += 1
            for name, feature in read_features(path, number, data).items():
                kinds, count, least, most = counted.get(name, (set[Kind](), 0, feature.num_values, feature.num_values))
                kinds.add(feature.kind)
                counted[name] = (kinds, count + 1, min(least, feature.num_values), max(most, feature.num_values))
    found = [
        Found(name, tuple(sorted(kinds)), count, (least, most))
        for name, (kinds, count, least, most) in sorted(counted.items())
    ]
    return Survey(tuple(files), records, tuple(found))


def listed(features: Sequence[Found]) -> str:
    """Features in words, for messages."""
    return ", ".join(f"{one.name} ({'/'.join(one.kinds)})" for one in features)


def _looks_right(path: Path) -> bool:
    """Begins with a whole header, or is compressed and so named."""
    with path.open("rb") as file:
        head = file.read(frame.HEADER_BYTES)
    return frame.header_length(head) is not None or (bool(_NAME.fullmatch(path.name)) and head[:2] in _COMPRESSED)


def records_of(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """(number, first byte of the data in the file, data) of each record. SourceError at the first damage."""
    with path.open("rb") as file:
        if path.stat().st_size == 0:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if content[:2] in _COMPRESSED and frame.header_length(content[: frame.HEADER_BYTES]) is None:
                raise SourceError(
                    f"{path} is compressed as a whole, so that no record can be found in it; unpack it (for GZIP: "
                    "gunzip -S '' FILE) or write it without compression."
                )
            yield from _walk(path, content)


def _walk(path: Path, content: mmap.mmap) -> Iterator[tuple[int, int, bytes]]:
    offset, number = 0, 0
    while offset < len(content):
        length = frame.header_length(content[offset : offset + frame.HEADER_BYTES])
        start = offset + frame.HEADER_BYTES
        what = "length or its checksum does not hold" if length is None else ""
        if length is not None and length > len(content) - offset - frame.OVERHEAD_BYTES:
            what = "truncated"
        if length is None or what:
            raise SourceError(f"record {number} of {path}, at byte {offset}, is damaged: {what}; get the file again.")
        data = content[start : start + length]
        if content[start + length : start + length + frame.FOOTER_BYTES] != frame.footer(frame.crc32c(data)):
            what = "checksum of the data does not hold"
            raise SourceError(f"record {number} of {path}, at byte {offset}, is damaged: {what}; get the file again.")
        yield number, start, data
        offset, number = start + length + frame.FOOTER_BYTES, number + 1
        if number > _MAX_RECORDS:
            raise SourceError(f"{path} has more than {_MAX_RECORDS} records; split it.")


def read_features(path: Path, number: int, data: bytes) -> dict[str, Feature]:
    try:
        return features_of(data)
    except Malformed as error:
        raise SourceError(f"record {number} of {path} is not a tf.train.Example ({error}); check the file.") from error
