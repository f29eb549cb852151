"""One shard's share of the index and the manifest: gathered while it is written, or from its bytes alone.

An unfinished write keeps it beside the shard, so that whoever goes on knows the shard for whole without the source.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from pileus.errors import Damaged, NotFound
from pileus.records import example as examples
from pileus.records import frame, index, manifest
from pileus.store import Store

_VERSION = 1
_MAX_BYTES = 1 << 30
_DIGEST_BYTES = 16
_COLUMNS = tuple(name for name in index.DTYPES if name not in ("shard", "id_start", "id_text"))


@dataclass(frozen=True, kw_only=True, eq=False)
class ShardPart:
    """What the index and the manifest need to know of a shard."""

    shard: manifest.Shard
    columns: index.Index
    """Of its records alone."""
    digests: bytes
    """`record_digest` of each record's data, one after the other."""


def record_digest(data: bytes) -> bytes:
    """16 bytes of SHA-256, which processors have instructions for."""
    return hashlib.sha256(data).digest()[:_DIGEST_BYTES]


class ShardBuilder:
    """A shard that is being put together, in memory."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._frames: list[bytes] = []
        self._size = 0
        self._rows: list[tuple[int, ...]] = []
        self._ids: list[str] = []
        self._digests: list[bytes] = []

    def add(self, example: examples.Example) -> None:
        data, image_offset = examples.encode(example)
        self.add_encoded(data, example, image_offset)

    def add_encoded(self, data: bytes, example: examples.Example, image_offset: int) -> None:
        """A record as it stands; `example` and `image_offset` are what it decodes to."""
        crc = frame.crc32c(data)
        where = (self._size, len(data), image_offset, len(example.image))
        what = (example.label, example.split, example.height, example.width, example.channels)
        self._rows.append(
            (*where, *what, examples.FORMATS.index(example.format), index.key_of(example.id), crc),
        )
        self._ids.append(example.id)
        self._digests.append(record_digest(data))
        self._frames += [frame.header(len(data)), data, frame.footer(crc)]
        self._size += len(data) + frame.OVERHEAD_BYTES

    def finish(self) -> tuple[bytes, ShardPart]:
        """The file's bytes and what they are. At least one record must have been added."""
        content = b"".join(self._frames)
        self._frames = [content]
        columns: dict[str, NDArray[Any]] = {
            name: np.array(values, index.DTYPES[name])
            for name, values in zip(_COLUMNS, zip(*self._rows, strict=True), strict=True)
        }
        starts, text = index.id_table(self._ids)
        whole = index.Index(shard=np.zeros(len(self._rows), np.uint32), id_start=starts, id_text=text, **columns)
        described = manifest.Shard(
            name=self.name, records=len(self._rows), size_bytes=self._size, crc=frame.crc32c(content)
        )
        return content, ShardPart(shard=described, columns=whole, digests=b"".join(self._digests))


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


def keep(store: Store, part: ShardPart, plan: str) -> None:
    """Put the part beside its shard. `plan` says what the shard was made from, and how."""
    kept = _Kept(_VERSION, plan, part.shard, index.encode(part.columns), part.digests)
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
        return ShardPart(shard=found.shard, columns=index.decode(found.columns, name), digests=found.digests)
    except (NotFound, Damaged, msgspec.DecodeError):
        return None


def joined_digests(parts: Sequence[ShardPart]) -> bytes:
    return b"".join(part.digests for part in parts)
