"""What `pileus data` says of sets, sources, damage and repairs: as documents and as text."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from pileus.data.ports import Split
from pileus.data.sources.records import RecordSource
from pileus.data.sources.tfrecord import TFRecordSource
from pileus.data.sources.tfrecord_files import Found
from pileus.data.summary import SourceSummary
from pileus.data.write import WriteSummary
from pileus.records import Damage, RepairReport, VerifyReport

_SHOWN_CLASSES = 40
_SHOWN_DAMAGE = 50


def written_document(summary: WriteSummary) -> dict[str, object]:
    described = summary.manifest
    return {
        "uri": summary.uri,
        "written": summary.written,
        "records": described.records,
        "splits": described.splits,
        "classes": described.classes,
        "shape": described.shape,
        "shards": len(described.shards),
        "partitions": summary.partitions,
        "size_bytes": sum(shard.size_bytes for shard in described.shards),
        "fingerprint": described.fingerprint,
    }


def division_told(summary: WriteSummary, partitions: int | None, cache: bool | None, workers: int) -> list[str]:
    """Of partitions and cache that were asked for, and are not what they were asked for."""
    if not summary.written:
        return []
    told = []
    num = summary.partitions
    if partitions is not None and num < partitions:
        shards = plural(len(summary.manifest.shards), "shard")
        told.append(f"{shards} are at most {plural(num, 'partition')}; for more: a lower --shard-size, or --num-shards")
    if partitions is not None and num < workers:
        told.append(f"{plural(num, 'partition')} kept {num} of {workers} workers busy")
    if cache and num <= workers:
        told.append(f"--cache gained nothing: {plural(num, 'partition')} for {plural(workers, 'worker')}")
    return told


def written_text(summary: WriteSummary, dest: str) -> str:
    described = summary.manifest
    size = _size(sum(shard.size_bytes for shard in described.shards))
    splits = ", ".join(f"{described.splits[split.name.lower()]:,} {split.name.lower()}" for split in Split)
    done = "wrote" if summary.written else "nothing to do: there are already"
    where = shlex.quote(dest)
    following = [f"check it: pileus data verify {where}"]
    if described.shape is None:
        following.append(f"train on pictures of many sizes: pileus train photos_cnn --data {where}")
    return "\n".join(
        [
            f"{done} {described.records:,} records ({splits}) in {plural(len(described.shards), 'shard')}, {size}",
            f"fingerprint {described.fingerprint[:16]}  {summary.uri}",
            *(f"next: {line}" for line in following),
        ]
    )


def damage_document(one: Damage) -> dict[str, object]:
    return {"what": one.what, "shard": one.shard, "record": one.record, "offset": one.offset}


def repaired_text(report: RepairReport, dest: str) -> str:
    if report.was_whole:
        return f"nothing to repair: {dest} is whole"
    lines = []
    for title, done in (
        ("fetched again from the source", report.refetched),
        ("DROPPED for good", report.dropped),
        ("made anew", report.remade),
    ):
        lines += [f"{title}: {len(done):,}", *(f"  {one}" for one in done[:_SHOWN_DAMAGE])] if done else []
        lines += [f"  and {len(done) - _SHOWN_DAMAGE} more; --json lists all"] if len(done) > _SHOWN_DAMAGE else []
    left = f"{report.manifest.records:,} records" if report.manifest else "nothing"
    return "\n".join([*lines, f"now: {left}", f"next: pileus data verify {shlex.quote(dest)}"])


def verified_text(report: VerifyReport, dest: str) -> str:
    looked = f"{report.records:,} records in {plural(report.shards, 'shard')}, {_size(report.size_bytes)}"
    if report.ok:
        return f"whole: {looked}\nnext: pileus data show {shlex.quote(dest)}"
    lines = [str(one) for one in report.damage[:_SHOWN_DAMAGE]]
    more = len(report.damage) - len(lines)
    return "\n".join(
        [
            f"DAMAGED: {plural(len(report.damage), 'fault')} found; whole are {looked}",
            *(f"  {line}" for line in lines),
            *([f"  and {more} more; --json lists all"] if more else []),
            f"next: pileus data repair {shlex.quote(dest)} --from SOURCE (without --from, bad records are dropped)",
        ]
    )


def source_document(source: object, summary: SourceSummary) -> dict[str, object]:
    document: dict[str, object] = {
        "kind": summary.kind,
        "samples": summary.samples,
        "classes": summary.classes,
        "splits": {split.name.lower(): summary.in_split(split) for split in Split},
        "splits_given": summary.splits_given,
        "counts": summary.counts,
        "preprocessing": summary.preprocessing,
        "fingerprint": summary.fingerprint,
    }
    if isinstance(source, RecordSource):
        shards = source.records.manifest.shards
        document |= {
            "shape": source.records.shape,
            "shards": len(shards),
            "size_bytes": sum(shard.size_bytes for shard in shards),
            "written_from": source.records.manifest.origin,
        }
    elif isinstance(source, TFRecordSource):
        document["shape"] = None
        document["features"] = [feature_document(one) for one in source.features]
        document |= {"image_feature": source.chosen.image, "label_feature": source.chosen.label}
    elif summary.preprocessing is not None:
        wanted = summary.preprocessing
        document["shape"] = (wanted.height, wanted.width, wanted.channels)
    else:
        document["shape"] = None
    return document


def feature_document(one: Found) -> dict[str, object]:
    return {"name": one.name, "kinds": one.kinds, "records": one.records, "values": one.values}


def feature_rows(features: Sequence[Found]) -> list[list[str]]:
    rows = [["feature", "kind", "records", "values in each"]]
    for one in features:
        least, most = one.values
        values = f"{least:,}" if least == most else f"{least:,} to {most:,}"
        rows.append([one.name, "/".join(one.kinds), f"{one.records:,}", values])
    return rows


def shown(source: object, summary: SourceSummary, place: str) -> str:
    names = [split.name.lower() for split in Split]
    rows = [["class", *names]]
    for name in summary.classes[:_SHOWN_CLASSES]:
        rows.append([name, *(f"{summary.counts[name][split]:,}" for split in names)])
    if len(summary.classes) > _SHOWN_CLASSES:
        rows.append([f"and {len(summary.classes) - _SHOWN_CLASSES} more", *([""] * len(names))])
    rows.append(["all", *(f"{summary.in_split(split):,}" for split in Split)])
    features = ["", *aligned(feature_rows(source.features))] if isinstance(source, TFRecordSource) else []
    return "\n".join([*_facts(source, summary), "", *aligned(rows), *features, "", _next_step(source, place)])


def aligned(rows: list[list[str]]) -> list[str]:
    """The first column to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]


def _facts(source: object, summary: SourceSummary) -> list[str]:
    document = source_document(source, summary)
    shape = document["shape"]
    size = " x ".join(str(side) for side in shape) if isinstance(shape, tuple) else "varying size"
    lines = [f"{summary.kind}: {summary.samples:,} images of {size} in {len(summary.classes)} classes"]
    if isinstance(source, RecordSource):
        shards = source.records.manifest.shards
        total = _size(sum(shard.size_bytes for shard in shards))
        origin = source.records.manifest.origin
        whence = f"written from {origin.kind}" if origin else "made anew from its shards"
        lines.append(f"{plural(len(shards), 'shard')}, {total}, {whence}")
    if isinstance(source, TFRecordSource):
        chosen = f"pictures from {source.chosen.image}, labels from {source.chosen.label}"
        lines.append(f"{chosen} (others: --image-feature, --label-feature)")
    if not summary.splits_given:
        lines.append("splits are made by hash of the sample id")
    return [*lines, f"fingerprint {summary.fingerprint}"]


def _next_step(source: object, place: str) -> str:
    if isinstance(source, RecordSource):
        return f"next: pileus data verify {shlex.quote(place)}"
    return f"next: pileus data write {shlex.quote(place)} DEST"


def plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _size(size_bytes: int) -> str:
    for unit, step in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if size_bytes >= step:
            return f"{size_bytes / step:.1f} {unit}"
    return f"{size_bytes} bytes"
