"""Walk a shard's frames by their own lengths, with no index: what verifying, rebuilding and foreign files rest on."""

from __future__ import annotations

import itertools
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pileus.records import frame

_OFFSETS_LINE = re.compile(rb"(\d{1,19}) \d{1,19}\n")


class Framed(NamedTuple):
    """One frame, whole or not."""

    record: int
    """Counted from 0. Past a gap of unknown length, as if one record were lost there."""
    offset: int
    """First byte of the frame."""
    data: bytes | None
    """None: damaged, as `what` says."""
    what: str = ""
    ends: bool = False
    """The walk cannot go on: what follows in the file is not known."""


def frames(content: bytes, starts: Sequence[int] = ()) -> Iterator[Framed]:
    """All frames of a file. After a damaged length the walk goes on at the next of the known `starts`, if there is one.

    `starts` ascend; they are trusted no further than that a whole frame is found there.
    """
    offset, record = 0, 0
    while offset < len(content):
        found = frame_at(content, record, offset)
        length = None if found.ends else frame.header_length(content[offset : offset + frame.HEADER_BYTES])
        following = bisect_right(starts, offset)
        if length is not None:
            yield found
            offset, record = offset + length + frame.OVERHEAD_BYTES, record + 1
        elif following < len(starts):
            yield found._replace(ends=False)
            offset, record = starts[following], following
        else:
            yield found
            return


def frame_at(content: bytes, record: int, offset: int) -> Framed:
    """The frame that starts at `offset`."""
    length = frame.header_length(content[offset : offset + frame.HEADER_BYTES])
    if length is None:
        cut = len(content) - offset < frame.HEADER_BYTES
        return Framed(record, offset, None, "truncated" if cut else "length or its checksum does not hold", ends=True)
    start, stop = offset + frame.HEADER_BYTES, offset + frame.HEADER_BYTES + length
    if stop + frame.FOOTER_BYTES > len(content):
        return Framed(record, offset, None, "truncated", ends=True)
    data = content[start:stop]
    if content[stop : stop + frame.FOOTER_BYTES] != frame.footer(frame.crc32c(data)):
        return Framed(record, offset, None, "checksum of the data does not hold")
    return Framed(record, offset, data)


def starts_of(offsets: bytes) -> list[int]:
    """Where records start by the text beside a shard; nothing where it is no such text."""
    starts = [int(line[1]) for line in _OFFSETS_LINE.finditer(offsets)]
    ascending = all(one < other for one, other in itertools.pairwise(starts))
    return starts if ascending and offsets.count(b"\n") == len(starts) else []
