"""The side index of a record set: where each record lies and what it is, without reading any.

    "PILEUSIX" | header length uint32 | header JSON | zeros to a multiple of 8
    | columns, each contiguous and starting at a multiple of 8 | CRC-32C of all before, uint32

Little-endian. The header names each column's dtype, its first byte (counted from the end of the padded
header) and its length. A file is mapped, not read: opening a million records costs one pass of the checksum.
"""

from __future__ import annotations

import hashlib
import mmap
import struct
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import google_crc32c
import msgspec
import numpy as np
from numpy.typing import NDArray

from pileus.errors import Damaged, NotFound
from pileus.records.example import FORMATS
from pileus.records.frame import OVERHEAD_BYTES
from pileus.records.manifest import Manifest
from pileus.store import Store
from pileus.store.files import FileStore

_MAGIC = b"PILEUSIX"
_VERSION = 2
_ALIGNMENT = 8
_MAX_HEADER_BYTES = 1 << 16
_CHUNK_BYTES = 1 << 22
_REMEDY = "make it anew: pileus data index DEST"

DTYPES = {
    "shard": "<u4",
    "offset": "<u8",
    "length": "<u4",
    "image_offset": "<u4",
    "image_length": "<u4",
    "label": "<i4",
    "split": "|u1",
    "height": "<u4",
    "width": "<u4",
    "channels": "|u1",
    "format": "|u1",
    "key": "<u8",
    "data_crc": "<u4",
    "id_start": "<u8",
    "id_text": "|u1",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Index:
    """Columns of N records, in the order of the source. Read-only when they come from a file."""

    shard: NDArray[np.uint32]
    offset: NDArray[np.uint64]
    """First byte of the record's frame in its shard."""
    length: NDArray[np.uint32]
    """Bytes of the record's data, without the frame."""
    image_offset: NDArray[np.uint32]
    """First byte of the image within the record's data."""
    image_length: NDArray[np.uint32]
    label: NDArray[np.int32]
    split: NDArray[np.uint8]
    """0 train, 1 validation, 2 test."""
    height: NDArray[np.uint32]
    width: NDArray[np.uint32]
    channels: NDArray[np.uint8]
    format: NDArray[np.uint8]
    """Position in example.FORMATS."""
    key: NDArray[np.uint64]
    """`key_of` the id."""
    data_crc: NDArray[np.uint32]
    """Plain CRC-32C of the record's data."""
    id_start: NDArray[np.uint64]
    """(N + 1,): id n is id_text[id_start[n]:id_start[n + 1]], UTF-8."""
    id_text: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.label)

    def id(self, position: int) -> str:
        start, stop = int(self.id_start[position]), int(self.id_start[position + 1])
        return self.id_text[start:stop].tobytes().decode()


def key_of(sample_id: str) -> int:
    """64 bits of BLAKE2b of the id: what order, augmentation and splits are keyed by."""
    return int.from_bytes(hashlib.blake2b(sample_id.encode(), digest_size=8).digest(), "little")


class _Column(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    dtype: str
    start: int
    count: int


class _Header(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    records: int
    columns: list[_Column]


def joined(parts: Sequence[Index]) -> Index:
    """The records of all parts, one part a shard."""
    names = [name for name in DTYPES if name not in ("shard", "id_start", "id_text")]
    columns: dict[str, NDArray[np.generic]] = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in (*names, "id_text")
    }
    columns["shard"] = np.repeat(np.arange(len(parts), dtype=np.uint32), [len(part) for part in parts])
    before = np.cumsum([0, *(len(part.id_text) for part in parts)], dtype=np.uint64)
    starts = [part.id_start[:-1] + first for part, first in zip(parts, before[:-1], strict=True)]
    columns["id_start"] = np.concatenate([*starts, before[-1:]])
    return Index(**columns)  # type: ignore[arg-type]  # dtypes are those of the parts


def id_table(ids: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
    """The columns `id_start` and `id_text`."""
    encoded = [sample_id.encode() for sample_id in ids]
    starts = np.zeros(len(ids) + 1, np.uint64)
    np.cumsum([len(text) for text in encoded], out=starts[1:], dtype=np.uint64)
    return starts, np.frombuffer(b"".join(encoded), np.uint8)


def encode(index: Index) -> bytes:
    """The file's bytes."""
    contents = {field.name: _content(index, field.name) for field in fields(index)}
    columns, position = [], 0
    for name, content in contents.items():
        dtype = np.dtype(DTYPES[name])
        columns.append(_Column(name, DTYPES[name], position, len(content) // dtype.itemsize))
        position += len(content) + -len(content) % _ALIGNMENT
    header = msgspec.json.encode(_Header(_VERSION, len(index), columns))
    parts = [_MAGIC, struct.pack("<I", len(header)), header, bytes(-(12 + len(header)) % _ALIGNMENT)]
    for content in contents.values():
        parts += [content, bytes(-len(content) % _ALIGNMENT)]
    body = b"".join(parts)
    return body + struct.pack("<I", google_crc32c.value(body))


def _content(index: Index, name: str) -> bytes:
    column: NDArray[np.generic] = getattr(index, name)
    return column.astype(DTYPES[name], copy=False).tobytes()


def checksum_of(content: bytes | mmap.mmap) -> int:
    """The checksum that the file ends with; the manifest names it, so that the two belong together."""
    return int(struct.unpack("<I", content[-4:])[0])


def load(store: Store, described: Manifest) -> Index:
    """The verified index that a manifest names, every position in it within bounds; else Damaged."""
    place = f"{store.uri}/{described.index}"
    remedy = f"make it anew from the shards: pileus data index {store.uri}"
    try:
        if isinstance(store, FileStore):
            content = _mapped(store.root / described.index)
        else:
            content = store.get(described.index).content
    except (FileNotFoundError, NotFound) as error:
        raise Damaged(f"{place} is missing; {remedy}") from error
    loaded = decode(content, place)
    if checksum_of(content) != described.index_checksum:
        raise Damaged(f"{place} belongs to another manifest; {remedy}")
    problem = _disagreement(loaded, described)
    if problem is not None:
        raise Damaged(f"{place} does not fit the manifest: {problem}; {remedy}")
    return loaded


def _disagreement(columns: Index, described: Manifest) -> str | None:
    """The first bound that some record breaks, in words; None where every position may be trusted."""
    if len(columns) != described.records:
        return f"it has {len(columns)} records, not {described.records}"
    shard_sizes = np.array([shard.size_bytes for shard in described.shards], np.int64)
    shard = columns.shard.astype(np.int64)
    if len(shard) and (shard.max() >= len(shard_sizes) or (np.diff(shard) < 0).any()):
        return "its shards are not those of the set, in order"
    ends = columns.offset.astype(np.int64) + columns.length + OVERHEAD_BYTES
    image_ends = columns.image_offset.astype(np.int64) + columns.image_length
    pixels = columns.height.astype(np.int64) * columns.width * columns.channels
    id_start = columns.id_start.astype(np.int64)
    rules = {
        "a record ends outside its shard": ends > shard_sizes[shard],
        "an image ends outside its record": image_ends > columns.length,
        "a raw image is not height x width x channels bytes": (columns.format == 0) & (pixels != columns.image_length),
        "an image format is unknown": columns.format >= len(FORMATS),
        "a label is not one of the classes": (columns.label < 0) | (columns.label >= len(described.classes)),
        "a split is unknown": columns.split > 2,
        "its ids are out of order": np.diff(id_start) < 0,
        "its ids end outside their table": id_start[-1:] != len(columns.id_text),
    }
    return next((rule for rule, broken in rules.items() if broken.any()), None)


def _mapped(path: Path) -> mmap.mmap | bytes:
    with path.open("rb") as file:
        if path.stat().st_size == 0:
            return b""
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def decode(content: bytes | mmap.mmap, place: str) -> Index:
    """Verify and take apart the file's bytes; arrays share their memory. `place` is for messages."""
    if len(content) < 16 or content[:8] != _MAGIC:
        raise Damaged(f"{place} is not an index of records; {_REMEDY}")
    if checksum_of(content) != _checksum(content):
        raise Damaged(f"{place} is damaged: its checksum does not hold; {_REMEDY}")
    (header_bytes,) = struct.unpack("<I", content[8:12])
    if header_bytes > min(_MAX_HEADER_BYTES, len(content) - 16):
        raise Damaged(
            f"{place} is damaged: its header is {header_bytes} bytes long; make it anew: pileus data index DEST"
        )
    try:
        header = msgspec.json.decode(content[12 : 12 + header_bytes], type=_Header)
    except msgspec.DecodeError as error:
        raise Damaged(
            f"{place} has a header that cannot be read ({error}); make it anew: pileus data index DEST"
        ) from error
    if header.version != _VERSION:
        raise Damaged(f"{place} is of version {header.version}, not {_VERSION}; {_REMEDY}")
    base = 12 + header_bytes + -(12 + header_bytes) % _ALIGNMENT
    return _columns(header, memoryview(content)[base:-4], place)


def _checksum(content: bytes | mmap.mmap) -> int:
    crc, stop = 0, len(content) - 4
    for start in range(0, stop, _CHUNK_BYTES):
        crc = google_crc32c.extend(crc, content[start : min(start + _CHUNK_BYTES, stop)])
    return crc


def _columns(header: _Header, body: memoryview, place: str) -> Index:
    counts = dict.fromkeys(DTYPES, header.records) | {"id_start": header.records + 1}
    arrays: dict[str, NDArray[np.generic]] = {}
    for column in header.columns:
        dtype = np.dtype(DTYPES.get(column.name, "V"))
        stop = column.start + column.count * dtype.itemsize
        sized = column.name == "id_text" or column.count == counts.get(column.name)
        if column.dtype != DTYPES.get(column.name) or not 0 <= column.start <= stop <= len(body) or not sized:
            raise Damaged(f"{place} has an impossible column {column.name!r}; {_REMEDY}")
        arrays[column.name] = np.frombuffer(body[column.start : stop], dtype)
    if arrays.keys() != DTYPES.keys():
        raise Damaged(f"{place} lacks columns; {_REMEDY}")
    return Index(**arrays)  # type: ignore[arg-type]  # dtypes are tested above
