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
VERSION = 3

SHARD_KEY = re.compile(r"shard-(?P<number>\d{5,})-of-(?P<total>\d{5,})(-r(?P<revision>\d+))?\.tfrecord")
INDEX_KEY = "index.bin"
_INDEX_KEYS = re.compile(r"index(-r\d+)?\.bin")
_BESIDE_KEY = re.compile(r"shard-\d{5,}-of-\d{5,}(-r\d+)?\.(idx|part)")
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
    encode: str = "auto"
    """How images were stored, and the quality of JPEG where one was asked for."""
    quality: int | None = None
    num_shards: int | None = None
    """None: as many as the size of a shard makes."""


class Manifest(Spec, frozen=True):
    """`checksum` is the SHA-256 of the canonical text of all else."""

    format: str
    version: int
    fingerprint: str
    """SHA-256 over classes, preprocessing and every record; not over how shards were cut."""
    classes: tuple[str, ...]
    records: int
    splits: dict[str, int]
    shape: tuple[int, int, int] | None
    """(H, W, C) of every image; None where they vary."""
    preprocessing: Preprocessing | None
    shards: tuple[Shard, ...]
    index: str
    """Key of the index."""
    index_checksum: int
    """The checksum that the index ends with."""
    origin: Origin | None
    """None: not known any more, the manifest was made anew from the shards alone."""
    dropped: int = 0
    """Records that a repair took out because they were damaged and no source was at hand."""
    checksum: str = ""


def shard_key(position: int, total: int) -> str:
    return f"shard-{position:05}-of-{total:05}.tfrecord"


def revised(key: str) -> str:
    """The key for another value in the place of `key`, for a writer that may not touch what readers hold."""
    stem, _, suffix = key.rpartition(".")
    first, _, revision = stem.partition("-r")
    return f"{first}-r{int(revision or 0) + 1}.{suffix}"


def offsets_key(shard: str) -> str:
    """The text beside a shard that names where its records lie, as `tfrecord2idx` writes it and DALI reads it."""
    return shard.removesuffix(".tfrecord") + ".idx"


def part_key(shard: str) -> str:
    """What an unfinished write knows of a shard that is whole."""
    return shard.removesuffix(".tfrecord") + ".part"


def is_own(key: str) -> bool:
    """Whether a key is one that a record set has."""
    return key == MANIFEST_KEY or any(own.fullmatch(key) for own in (SHARD_KEY, _INDEX_KEYS, _BESIDE_KEY))


def shards_found(store: Store) -> list[str]:
    """Keys of all shards that are there, finished set or not; none where the store cannot be listed."""
    if not store.abilities.list:
        return []
    return [key for key in store.list("shard-") if SHARD_KEY.fullmatch(key)]


def encode(manifest: Manifest) -> bytes:
    """The file's bytes, checksum included."""
    bare = msgspec.structs.replace(manifest, checksum="")
    return canonical_json(msgspec.structs.replace(bare, checksum=digest(canonical_json(bare))))


def decode(content: bytes, place: str) -> Manifest:
    """The verified manifest; `place` is for messages. Damaged where a byte was changed."""
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except msgspec.DecodeError as error:
        raise Damaged(
            f"{place} is not a manifest of records ({error}); make it anew: pileus data repair DEST"
        ) from error
    if manifest.format != FORMAT or manifest.version != VERSION:
        raise Damaged(
            f"{place} is {manifest.format} version {manifest.version}, not {FORMAT} version {VERSION}; "
            "write the record set again."
        )
    if encode(manifest) != content:
        raise Damaged(f"{place} is damaged: its checksum does not hold; make it anew: pileus data repair DEST")
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
    if shards_found(store):
        raise SourceError(f"the record set {store.uri} was not finished; write it again: pileus data write SOURCE DEST")
    raise SourceError(f"{store.uri} holds no record set ({MANIFEST_KEY} is absent); check the path.")
