"""One shard's share of the index and the manifest: gathered while it is written, or from its bytes alone.

An unfinished write keeps it beside the shard, so that whoever goes on knows the shard for whole without the source.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from pileus.errors import Damaged, NotFound
from pileus.records import example as examples
from pileus.records import frame, index, manifest
from pileus.records.hashing import Digests, digests_of
from pileus.store import Store

_VERSION = 2
_MAX_BYTES = 1 << 30
_BUFFER_BYTES = 1 << 20
"""Held of a shard while it is put together, and a record more: small, so that it stays in the processor's cache."""
_COLUMNS = tuple(name for name in index.DTYPES if name not in ("shard", "id_start", "id_text"))


@dataclass(frozen=True, kw_only=True, eq=False)
class ShardPart:
    """What the index and the manifest need to know of a shard."""

    shard: manifest.Shard
    columns: index.Index
    """Of its records alone."""
    digests: bytes
    """`Digests.record` of each record, one after the other."""
    image_digests: bytes
    """Of each image, likewise."""


class ShardBuilder:
    """A shard that is being put together, held no longer than until its bytes are taken."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._size, self._crc = 0, 0
        """Of what was taken."""
        self._filled = 0
        self._rows: list[tuple[int, ...]] = []
        self._ids: list[str] = []
        self._digests: list[Digests] = []
        self._view, self._bytes = _buffer(_BUFFER_BYTES)

    def add(self, example: examples.Example) -> None:
        before, after = examples.around(example)
        self._add((before, example.image, after), example, len(before))

    def add_encoded(self, data: bytes, example: examples.Example, image_offset: int) -> None:
        """A record as it stands; `example` and `image_offset` are what it decodes to."""
        self._add((data,), example, image_offset)

    @property
    def filled(self) -> int:
        """Bytes that can be taken."""
        return self._filled

    def take(self) -> memoryview:
        """The file's bytes since those that were taken before, valid until a record is added."""
        taken = self._view[: self._filled]
        self._crc = frame.crc32c(self._bytes[: self._filled], self._crc)
        self._size += self._filled
        self._filled = 0
        return taken

    def finish(self) -> ShardPart:
        """What the shard is whose bytes were taken. At least one record must have been added."""
        assert not self._filled, "bytes that were not taken"
        columns: dict[str, NDArray[Any]] = {
            name: np.array(values, index.DTYPES[name])
            for name, values in zip(_COLUMNS, zip(*self._rows, strict=True), strict=True)
        }
        starts, text = index.id_table(self._ids)
        whole = index.Index(shard=np.zeros(len(self._rows), np.uint32), id_start=starts, id_text=text, **columns)
        described = manifest.Shard(name=self.name, records=len(self._rows), size_bytes=self._size, crc=self._crc)
        digests, image_digests = map(b"".join, zip(*self._digests, strict=True))
        return ShardPart(shard=described, columns=whole, digests=digests, image_digests=image_digests)

    def _add(self, pieces: tuple[bytes, ...], example: examples.Example, image_offset: int) -> None:
        length = sum(map(len, pieces))
        start = self._filled + frame.HEADER_BYTES
        stop = start + length
        if stop + frame.FOOTER_BYTES > len(self._view):
            self._grow(stop + frame.FOOTER_BYTES)
        self._put(frame.header(length), self._filled)
        position = start
        for piece in pieces:
            position = self._put(piece, position)
        crc = frame.crc32c(self._bytes[start:stop])
        where = (self._size + self._filled, length, image_offset, len(example.image))
        what = (example.label, example.split, example.height, example.width, example.channels)
        self._rows.append((*where, *what, examples.FORMATS.index(example.format), index.key_of(example.id), crc))
        self._ids.append(example.id)
        self._digests.append(digests_of(self._view[start:stop], image_offset, len(example.image)))
        self._filled = self._put(frame.footer(crc), stop)

    def _put(self, piece: bytes, position: int) -> int:
        stop = position + len(piece)
        self._view[position:stop] = piece
        return stop

    def _grow(self, size: int) -> None:
        before = self._view[: self._filled]
        self._view, self._bytes = _buffer(size)
        self._view[: self._filled] = before


def _buffer(size: int) -> tuple[memoryview, NDArray[np.uint8]]:
    """Memory, and the same as an array. One is used for all records, which are never held and joined: memory that is
    new to a process takes longer to come by than what is put there takes to be read, hashed and written."""
    held = bytearray(size)
    return memoryview(held), np.frombuffer(held, np.uint8)


def offsets_text(columns: index.Index, rows: slice = slice(None)) -> bytes:
    """`offset size` of each frame, a line each: what `tfrecord2idx` makes of the shard."""
    sizes = columns.length[rows].astype(np.int64) + frame.OVERHEAD_BYTES
    pairs = zip(columns.offset[rows].tolist(), sizes.tolist(), strict=True)
    return "".join(f"{offset} {size}\n" for offset, size in pairs).encode()


class _Kept(msgspec.Struct, forbid_unknown_fields=True):
    """The file's content, as MessagePack; the CRC-32C of it follows, uint32."""

    version: int
    plan: str
    shard: manifest.Shard
    columns: bytes
    digests: bytes
    image_digests: bytes


def keep(store: Store, part: ShardPart, plan: str) -> None:
    """Put the part beside its shard. `plan` says what the shard was made from, and how."""
    kept = _Kept(_VERSION, plan, part.shard, index.encode(part.columns), part.digests, part.image_digests)
    content = msgspec.msgpack.encode(kept)
    store.put(manifest.part_key(part.shard.name), content + struct.pack("<I", frame.crc32c(content)))


def kept(store: Store, name: str, plan: str) -> ShardPart | None:
    """The part of a shard that is whole and of this plan; None where it must be written."""
    try:
        content = store.get(manifest.part_key(name)).content
        body = content[:-4]
        if len(content) > _MAX_BYTES or content[-4:] != struct.pack("<I", frame.crc32c(body)):
            return None
        found = msgspec.msgpack.decode(body, type=_Kept)
        if (found.version, found.plan, found.shard.name) != (_VERSION, plan, name):
            return None
        shard = store.get(name).content
        if (len(shard), frame.crc32c(shard)) != (found.shard.size_bytes, found.shard.crc):
            return None
        columns = index.decode(found.columns, name)
        return ShardPart(shard=found.shard, columns=columns, digests=found.digests, image_digests=found.image_digests)
    except (NotFound, Damaged, msgspec.DecodeError):
        return None
