"""What a record set holds, in one small file that is written last: without it there is no record set."""

from __future__ import annotations

import re

import msgspec

from pileus.errors import Damaged, NotFound, SourceError
from pileus.spec.preprocessing import Preprocessing
from pileus.spec.values import Spec, canonical_json, digest
from pileus.store import Store

MANIFEST_KEY = "manifest.json"
FORMAT = "pileus-records"
VERSION = 1
SPLITS = ("train", "validation", "test")
"""Names by the numbers in the index."""

SHARD_KEY = re.compile(r"shard-\d{5,}-of-\d{5,}\.tfrecord")
_MAX_BYTES = 64 << 20


class Shard(Spec, frozen=True):
    """One file of records."""

    name: str
    records: int
    size_bytes: int
    crc: int
    """CRC-32C of the whole file."""


class Origin(Spec, frozen=True):
    """What the set was written from, and how: a second write with an equal origin has nothing to do."""

    kind: str
    fingerprint: str
    """Of the source."""
    shard_size_bytes: int
    resize: tuple[int, int] | None
    """(H, W) in pixels; None: pictures as they were."""
    channels: int | None
    validation: float
    """Share of given training samples that was moved to validation."""


class Manifest(Spec, frozen=True):
    """`checksum` is the SHA-256 of the canonical text of all else."""

    format: str
    version: int
    fingerprint: str
    """SHA-256 over classes, preprocessing and every record with its split; not over how shards were cut."""
    classes: tuple[str, ...]
    records: int
    splits: dict[str, int]
    shape: tuple[int, int, int] | None
    """(H, W, C) of every image; None where they vary."""
    preprocessing: Preprocessing | None
    shards: tuple[Shard, ...]
    index_checksum: int
    """The checksum that the index ends with."""
    origin: Origin
    checksum: str = ""


def shard_key(position: int, total: int) -> str:
    return f"shard-{position:05}-of-{total:05}.tfrecord"


def encode(manifest: Manifest) -> bytes:
    """The file's bytes, checksum included."""
    bare = msgspec.structs.replace(manifest, checksum="")
    return canonical_json(msgspec.structs.replace(bare, checksum=digest(canonical_json(bare))))


def decode(content: bytes, place: str) -> Manifest:
    """The verified manifest; `place` is for messages. Damaged where a byte was changed."""
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except msgspec.DecodeError as error:
        raise Damaged(f"{place} is not a manifest of records ({error}); write the record set again.") from error
    if manifest.format != FORMAT or manifest.version != VERSION:
        raise Damaged(f"{place} is {manifest.format} version {manifest.version}, not {FORMAT} version {VERSION}.")
    if encode(manifest) != content:
        raise Damaged(f"{place} is damaged: its checksum does not hold; write the record set again.")
    return manifest


def find(store: Store) -> Manifest | None:
    """The manifest of a finished set, None where there is none. Damaged where it cannot be trusted."""
    try:
        content = store.get(MANIFEST_KEY).content
    except NotFound:
        return None
    if len(content) > _MAX_BYTES:
        raise Damaged(f"{store.uri}/{MANIFEST_KEY} has {len(content)} bytes, more than any manifest.")
    return decode(content, f"{store.uri}/{MANIFEST_KEY}")


def load(store: Store) -> Manifest:
    """The manifest of a finished set. SourceError where there is none, and what to do about it."""
    manifest = find(store)
    if manifest is not None:
        return manifest
    if any(SHARD_KEY.fullmatch(key) for key in store.list("shard-")):
        raise SourceError(f"the record set {store.uri} was not finished; write it again: pileus data write SOURCE DEST")
    raise SourceError(f"{store.uri} holds no record set ({MANIFEST_KEY} is absent); check the path.")
