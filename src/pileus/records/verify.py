"""Look at every byte of a record set and list all damage, not only the first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from pileus.errors import Damaged, NotFound
from pileus.records import example as examples
from pileus.records import frame, index, manifest, scan
from pileus.records.hashing import digests_of
from pileus.records.part import offsets_text
from pileus.records.write import fingerprint
from pileus.store import Store, open_store


@dataclass(frozen=True)
class Damage:
    """One thing that does not hold. None where it is not about one shard, record or place."""

    what: str
    shard: str | None = None
    record: int | None = None
    """Within the shard, counted from 0."""
    offset: int | None = None
    """First byte of the record's frame in the shard."""

    def __str__(self) -> str:
        place = [self.shard or "record set"]
        place += [] if self.record is None else [f"record {self.record}"]
        place += [] if self.offset is None else [f"byte {self.offset}"]
        return f"{', '.join(place)}: {self.what}"


@dataclass
class VerifyReport:
    """What was looked at, and all that was found."""

    uri: str
    shards: int = 0
    records: int = 0
    """Records whose checksums and content hold."""
    size_bytes: int = 0
    fingerprint: str | None = None
    """Of the records as they are, where none is damaged."""
    damage: list[Damage] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.damage


def verify_records(place: str, progress: Callable[[int, int], None] = lambda done, total: None) -> VerifyReport:
    """Check frames, checksums, messages, offsets beside the shards, index and manifest against one another.

    `progress` is told (shards done, shards). SourceError where the place holds nothing of a record set. Holds
    one shard in memory.
    """
    store = open_store(place)
    report = VerifyReport(store.uri)
    described = _described(store, report)
    names = [shard.name for shard in described.shards] if described else manifest.shards_found(store)
    columns = _columns(store, described, report) if described else None
    digests: list[bytes] = []
    for position, name in enumerate(names):
        digests += _verify_shard(store, name, _Expected(described, columns, position), report)
        progress(position + 1, len(names))
    if described and columns is not None:
        if not report.damage:
            _check_whole(described, columns, digests, report)
        stray = set(manifest.shards_found(store)) - set(names)
        report.damage += [Damage("a shard that is not of this set", name) for name in sorted(stray)]
    return report


@dataclass(frozen=True)
class _Expected:
    """What index and manifest, where they can be trusted, say of one shard."""

    described: manifest.Manifest | None
    columns: index.Index | None
    position: int

    @property
    def shard(self) -> manifest.Shard | None:
        return self.described.shards[self.position] if self.described else None

    def rows(self) -> range:
        """The set's records that lie in this shard."""
        assert self.columns is not None
        return rows_of(self.columns, self.position)

    def holder_of(self, content: bytes) -> str | None:
        """The shard whose bytes these are by the manifest's checksums."""
        whole = (len(content), frame.crc32c(content))
        shards = self.described.shards if self.described else ()
        return next((shard.name for shard in shards if (shard.size_bytes, shard.crc) == whole), None)


def rows_of(columns: index.Index, shard: int) -> range:
    """The set's records that lie in one shard."""
    start, stop = np.searchsorted(columns.shard, [shard, shard + 1])
    return range(int(start), int(stop))


def _described(store: Store, report: VerifyReport) -> manifest.Manifest | None:
    try:
        described = manifest.find(store)
    except Damaged as error:
        report.damage.append(Damage(str(error)))
        return None
    if described is None:
        if not manifest.shards_found(store):
            manifest.load(store)
        report.damage.append(Damage(f"{manifest.MANIFEST_KEY} is missing: the set was not finished or lost it"))
    return described


def _columns(store: Store, described: manifest.Manifest, report: VerifyReport) -> index.Index | None:
    try:
        return index.load(store, described)
    except Damaged as error:
        report.damage.append(Damage(str(error)))
        return None


def _verify_shard(store: Store, name: str, expected: _Expected, report: VerifyReport) -> list[bytes]:
    """The digests of its records; all damage goes to the report."""
    beside = offsets_beside(store, name)
    try:
        content = store.get(name).content
    except NotFound:
        report.damage.append(Damage("the shard is missing", name))
        return []
    report.shards += 1
    report.size_bytes += len(content)
    holder = expected.holder_of(content)
    if holder not in (None, name):
        report.damage.append(Damage(f"swapped: it holds the bytes of {holder}", name))
        return []
    before = len(report.damage)
    if expected.columns is None:
        digests = list(_scanned(content, name, beside, report))
    else:
        digests = list(_compared(content, name, expected, report))
    if expected.shard and holder is None and len(report.damage) == before:
        what = f"{len(content)} bytes that are not the {expected.shard.size_bytes} bytes of the manifest's checksum"
        report.damage.append(Damage(what, name))
    if expected.columns is not None:
        rows = expected.rows()
        if beside != offsets_text(expected.columns, slice(rows.start, rows.stop)):
            what = "missing" if beside is None else "not the offsets and sizes of the records"
            report.damage.append(
                Damage(f"the text of offsets beside it ({manifest.offsets_key(name)}) is {what}", name)
            )
    report.records += len(digests)
    return digests


def offsets_beside(store: Store, shard: str) -> bytes | None:
    """The text of offsets beside a shard, None where it is not there."""
    try:
        return store.get(manifest.offsets_key(shard)).content
    except NotFound:
        return None


def _scanned(content: bytes, name: str, beside: bytes | None, report: VerifyReport) -> Iterator[bytes]:
    """The digest of each whole record. Follows the frames without an index, past a damaged length by the text of
    offsets."""
    for found in scan.frames(content, scan.starts_of(beside or b"")):
        what = found.what + ("; the rest of the shard was not read" if found.ends else "")
        if found.data is not None:
            try:
                example, image_offset = examples.decode(found.data)
            except examples.Malformed as error:
                what = f"not an image example: {error}"
            else:
                yield digests_of(found.data, image_offset, len(example.image)).record
                continue
        report.damage.append(Damage(what, name, found.record, found.offset))


def _compared(content: bytes, name: str, expected: _Expected, report: VerifyReport) -> Iterator[bytes]:
    """The digest of each whole record that the index names, where it says it is."""
    rows = expected.rows()
    columns = expected.columns
    assert columns is not None
    for record, row in enumerate(rows):
        offset, length = int(columns.offset[row]), int(columns.length[row])
        framed = content[offset : offset + length + frame.OVERHEAD_BYTES]
        if len(framed) < length + frame.OVERHEAD_BYTES:
            lost = len(rows) - record
            what = f"truncated: the shard ends at byte {len(content)}; {lost} of {len(rows)} records lost"
            report.damage.append(Damage(what, name, record, offset))
            return
        problem = problem_of(framed, columns, row, expected.described)
        if problem:
            report.damage.append(Damage(problem, name, record, offset))
        else:
            data = memoryview(framed)[frame.HEADER_BYTES : -frame.FOOTER_BYTES]
            yield digests_of(data, int(columns.image_offset[row]), int(columns.image_length[row])).record


def problem_of(framed: bytes, columns: index.Index, row: int, described: manifest.Manifest | None) -> str | None:
    """What is wrong with one record, in words."""
    length = int(columns.length[row])
    found = frame.header_length(framed[: frame.HEADER_BYTES])
    if found is None:
        return "length or its checksum does not hold"
    if found != length:
        return f"index disagrees: the record is {found} bytes long, the index says {length}"
    data = framed[frame.HEADER_BYTES : -frame.FOOTER_BYTES]
    crc = frame.crc32c(data)
    if framed[-frame.FOOTER_BYTES :] != frame.footer(crc):
        return "checksum of the data does not hold"
    if crc != int(columns.data_crc[row]):
        return "index disagrees: the record is whole but not the one that the index was made for"
    if described and _as_indexed(data, columns, row, described.classes) == data:
        return None
    try:
        example, image_offset = examples.decode(data)
    except examples.Malformed as error:
        return f"not an image example: {error}"
    differing = _differing(example, image_offset, columns, row)
    if described and not differing and described.classes[example.label] != example.class_text:
        differing = ["class text"]
    return f"index disagrees: {', '.join(differing)}" if differing else None


def _as_indexed(data: bytes, columns: index.Index, row: int, classes: tuple[str, ...]) -> bytes:
    """The one encoding of the record's image with what the index says of it."""
    start, label = int(columns.image_offset[row]), int(columns.label[row])
    example = examples.Example(
        image=data[start : start + int(columns.image_length[row])],
        format=examples.FORMATS[columns.format[row]],
        height=int(columns.height[row]),
        width=int(columns.width[row]),
        channels=int(columns.channels[row]),
        label=label,
        class_text=classes[label],
        id=columns.id(row),
        split=int(columns.split[row]),
    )
    encoded, image_offset = examples.encode(example)
    return encoded if image_offset == start and index.key_of(example.id) == int(columns.key[row]) else b""


def _differing(example: examples.Example, image_offset: int, columns: index.Index, row: int) -> list[str]:
    """Names of the columns that say something else than the record."""
    said = {
        "image_offset": image_offset,
        "image_length": len(example.image),
        "label": example.label,
        "split": example.split,
        "height": example.height,
        "width": example.width,
        "channels": example.channels,
        "format": examples.FORMATS.index(example.format),
        "key": index.key_of(example.id),
    }
    differing = [name for name, value in said.items() if int(getattr(columns, name)[row]) != value]
    return differing + (["id"] if columns.id(row) != example.id else [])


def _check_whole(
    described: manifest.Manifest, columns: index.Index, digests: list[bytes], report: VerifyReport
) -> None:
    """The set's own fingerprint and counts, once all records are found to be whole."""
    report.fingerprint = fingerprint(described.classes, described.preprocessing, b"".join(digests))
    counts = np.bincount(columns.split, minlength=len(examples.SPLITS)).tolist()
    if report.fingerprint != described.fingerprint:
        report.damage.append(Damage("the fingerprint of the records is not the one that the manifest names"))
    if dict(zip(examples.SPLITS, counts, strict=True)) != described.splits:
        report.damage.append(Damage(f"the manifest says {described.splits}, the index {counts}"))
