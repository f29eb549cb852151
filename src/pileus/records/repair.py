"""Mend a record set: bring back what a source can give again, or leave out what is bad; never more than that.

Nothing that is whole is ever put at risk. A shard is replaced in place only by the very bytes that the manifest names;
one that loses records gets a new name, and the manifest, replaced in one step, says which counts. What is named no more
is removed after that, so a repair that was killed is begun again and loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pileus.errors import Damaged, NotFound
from pileus.records import example as examples
from pileus.records import frame, index, manifest, rebuild, scan
from pileus.records.part import offsets_text
from pileus.records.verify import Damage, offsets_beside, problem_of, rows_of
from pileus.store import Store, open_store

Refetch = Callable[[int], examples.Example]
"""The record at a position of the set, from its source."""


@dataclass
class RepairReport:
    """All that was done. Empty lists: the set was whole."""

    uri: str
    refetched: list[Damage] = field(default_factory=list)
    """Records brought back from the source."""
    dropped: list[Damage] = field(default_factory=list)
    """Records left out for good."""
    remade: list[Damage] = field(default_factory=list)
    """What needed no source: index, manifest, offsets, swapped shards, strays."""
    manifest: manifest.Manifest | None = None
    """As it stands now."""

    @property
    def was_whole(self) -> bool:
        return not (self.refetched or self.dropped or self.remade)


def repair_records(
    place: str, refetch: Refetch | None = None, progress: Callable[[int, int], None] = lambda done, total: None
) -> RepairReport:
    """Without `refetch`, damaged records are dropped. `progress` is told (shards looked at, shards).

    SourceError where there is no finished set; Damaged where the source gives other bytes than were written. Holds one
    shard in memory.
    """
    store = open_store(place)
    described, version = rebuild.found_manifest(store)
    report = RepairReport(store.uri)
    if described is None:
        report.remade.append(
            Damage("the manifest, from the shards alone; how drawings were made is not known any more")
        )
        orphans = rebuild.orphans(store)
        names = [_salvaged(store, name, report) for name in orphans]
        report.dropped += [Damage("the shard is missing", name) for name in rebuild.missing_shards(orphans)]
    else:
        repair = _Repair(store, described, _columns(store, described, report), refetch, report)
        names = _mended(repair, progress)
        if repair.columns is not None and names == [shard.name for shard in described.shards]:
            return _finished(store, report, described, described)
    kept = [name for name in names if name]
    written = rebuild.publish(store, kept, described, version, dropped=len(report.dropped))
    return _finished(store, report, described, written)


def _finished(
    store: Store, report: RepairReport, before: manifest.Manifest | None, now: manifest.Manifest
) -> RepairReport:
    """Remove what is named no more. Told is what was not of the set before either."""
    known = {shard.name for shard in before.shards} if before else set(manifest.shards_found(store))
    swept = rebuild.sweep(store, now)
    report.remade += [Damage("removed: not of this set", name) for name in swept if name not in known]
    report.manifest = now
    return report


@dataclass(frozen=True)
class _Repair:
    store: Store
    described: manifest.Manifest
    columns: index.Index | None
    refetch: Refetch | None
    report: RepairReport


def _columns(store: Store, described: manifest.Manifest, report: RepairReport) -> index.Index | None:
    try:
        return index.load(store, described)
    except Damaged:
        report.remade.append(Damage("the index, from the shards"))
        return None


def _mended(repair: _Repair, progress: Callable[[int, int], None]) -> list[str | None]:
    """The names of the shards that make up the set, None for one that is lost as a whole."""
    held: dict[str, tuple[int, int]] = {}
    shards = repair.described.shards
    for done, name in enumerate(found := manifest.shards_found(repair.store), 1):
        content = repair.store.get(name).content
        held[name] = (len(content), frame.crc32c(content))
        progress(done, len(found))
    names: list[str | None] = []
    for position, shard in enumerate(shards):
        whole = (shard.size_bytes, shard.crc)
        holder = next((name for name, one in held.items() if one == whole), None)
        if held.get(shard.name) == whole:
            names.append(shard.name)
        elif holder:
            names.append(_put_anew(repair.store, shard.name, repair.store.get(holder).content))
            repair.report.remade.append(Damage(f"taken from {holder}, which held its bytes", shard.name))
        else:
            names.append(_mend_shard(repair, position))
        if names[-1] == shard.name:
            _mend_offsets(repair, position)
    return names


def _mend_offsets(repair: _Repair, position: int) -> None:
    """The text beside a shard that is whole."""
    if repair.columns is None:
        return
    rows, name = rows_of(repair.columns, position), repair.described.shards[position].name
    text = offsets_text(repair.columns, slice(rows.start, rows.stop))
    if offsets_beside(repair.store, name) != text:
        repair.store.put(manifest.offsets_key(name), text)
        repair.report.remade.append(Damage(f"{manifest.offsets_key(name)} beside it", name))


def _mend_shard(repair: _Repair, position: int) -> str | None:
    """The name of what is there in its place then, None where nothing was left."""
    shard = repair.described.shards[position]
    problems, good = _sorted_out(repair, position)
    bad = [record for record in range(shard.records) if record not in good]
    if not bad and _is(shard, content := _file([good[record] for record in range(shard.records)])):
        repair.store.put(shard.name, content)
        repair.report.remade.append(Damage("bytes that were of no record removed", shard.name))
        return shard.name
    if repair.refetch is not None:
        _bring_back(repair, position, good, bad)
        return shard.name
    for record in bad:
        what, offset = problems.get(record, ("lost behind damage", None))
        repair.report.dropped.append(Damage(what, shard.name, record, offset))
    return _put_anew(repair.store, shard.name, _file([good[record] for record in sorted(good)])) if good else None


def _is(shard: manifest.Shard, content: bytes) -> bool:
    """Whether these are the bytes that the manifest names."""
    return (len(content), frame.crc32c(content)) == (shard.size_bytes, shard.crc)


def _bring_back(repair: _Repair, position: int, good: dict[int, bytes], bad: list[int]) -> None:
    """The shard as it was written, from its whole records and the source."""
    shard = repair.described.shards[position]
    assert repair.refetch is not None
    first = sum(before.records for before in repair.described.shards[:position])
    fetched: set[int] = set()
    for wanted in (bad, range(shard.records)):
        for record in wanted:
            if record not in fetched:
                good[record] = examples.encode(repair.refetch(first + record))[0]
                fetched.add(record)
        content = _file([good[record] for record in range(shard.records)])
        if _is(shard, content):
            repair.store.put(shard.name, content)
            repair.report.refetched += [Damage("fetched again", shard.name, record) for record in sorted(fetched)]
            return
    raise Damaged(
        f"the source gives other bytes for {shard.name} than were written (another version of a library?); "
        "nothing was changed there, write the set again in another place."
    )


def _sorted_out(repair: _Repair, position: int) -> tuple[dict[int, tuple[str, int | None]], dict[int, bytes]]:
    """({record: (problem, offset)}, {record: data that is whole}) of one shard."""
    name = repair.described.shards[position].name
    try:
        content = repair.store.get(name).content
    except NotFound:
        rows = range(repair.described.shards[position].records)
        return dict.fromkeys(rows, ("the shard is missing", None)), {}
    if repair.columns is None:
        return _walked(content, scan.starts_of(offsets_beside(repair.store, name) or b""))
    problems: dict[int, tuple[str, int | None]] = {}
    good: dict[int, bytes] = {}
    for record, row in enumerate(rows_of(repair.columns, position)):
        start = int(repair.columns.offset[row])
        framed = content[start : start + int(repair.columns.length[row]) + frame.OVERHEAD_BYTES]
        cut = len(framed) < int(repair.columns.length[row]) + frame.OVERHEAD_BYTES
        problem = "truncated" if cut else problem_of(framed, repair.columns, row, repair.described)
        if problem:
            problems[record] = (problem, start)
        else:
            good[record] = framed[frame.HEADER_BYTES : -frame.FOOTER_BYTES]
    return problems, good


def _walked(content: bytes, starts: list[int]) -> tuple[dict[int, tuple[str, int | None]], dict[int, bytes]]:
    """As `_sorted_out`, without an index."""
    problems: dict[int, tuple[str, int | None]] = {}
    good: dict[int, bytes] = {}
    for found in scan.frames(content, starts):
        problem = found.what
        if found.data is not None:
            try:
                examples.decode(found.data)
            except examples.Malformed as error:
                problem = f"not an image example: {error}"
            else:
                good[found.record] = found.data
        if problem:
            more = "; what follows in the shard is lost with it" if found.ends else ""
            problems[found.record] = (problem + more, found.offset)
    return problems, good


def _salvaged(store: Store, name: str, report: RepairReport) -> str | None:
    """The shard, or what of it is whole under a new name, where there is no manifest; None where nothing is."""
    content = store.get(name).content
    problems, good = _walked(content, scan.starts_of(offsets_beside(store, name) or b""))
    report.dropped += [Damage(what, name, record, offset) for record, (what, offset) in problems.items()]
    if not problems and good:
        return name
    return _put_anew(store, name, _file([good[record] for record in sorted(good)])) if good else None


def _put_anew(store: Store, name: str, content: bytes) -> str:
    """Put content under a name that nothing has; returns it."""
    taken = set(manifest.shards_found(store))
    while name in taken:
        name = manifest.revised(name)
    store.put(name, content)
    return name


def _file(records: list[bytes]) -> bytes:
    return b"".join(frame.header(len(data)) + data + frame.footer(frame.crc32c(data)) for data in records)
