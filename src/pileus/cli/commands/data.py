"""`pileus data`: labelled images into record sets, and what a source or a set holds."""

from __future__ import annotations

import argparse
import re
import shlex

from pileus.cli.console import Console
from pileus.data.options import CHECKS, ENCODES
from pileus.data.ports import Split
from pileus.data.repair import repair_from
from pileus.data.sources.open import KINDS, open_source
from pileus.data.sources.records import RecordSource
from pileus.data.summary import SourceSummary, summarise
from pileus.data.write import WriteOptions, WriteSummary, write_records
from pileus.errors import UsageError
from pileus.measure.environment import count_cores
from pileus.records import Damage, RepairReport, VerifyReport, rebuild_index, repair_records, verify_records
from pileus.store import resolve_uri

_SHOWN_CLASSES = 40
_SHOWN_DAMAGE = 50

_SOURCES = """SOURCE is one of
  a folder with one folder of pictures (PNG, JPEG) per class, or train/, validation/, test/ of such
  a folder with MNIST-style idx files, plain or .gz, or with CIFAR-10 python batches, plain or .xz
  a manifest: .csv or .jsonl with path and label, optionally split and id
  a record set that Pileus wrote
  embedded:digits, embedded:strokes
Samples without a split get one by the hash of their id: 70 % train, 10 % validation, 20 % test."""

_WRITE_EPILOG = f"""{_SOURCES}

examples:
  pileus data write embedded:digits records/digits
  pileus data write path/to/mnist records/mnist --validation 0.1
  pileus data write path/to/photos records/photos --resize 64x64 --shard-size 256MB
  pileus data write path/to/photos records/small --num-shards 8 --resize 224x224 --encode jpeg --quality 90

--encode says how images are stored: auto: JPEG files as they are, all else as pixels; keep: every file as
it is; raw: pixels; jpeg, png: as such files, those that are so already as they are (jpeg with --quality: anew).
Of JPEG files that stay as they are, head and end are looked at; --check decode looks at every pixel.

The bytes written do not depend on --processes. A write that was interrupted leaves nothing that reads as a
record set; run again, it keeps the shards that are whole. A write of what DEST already holds does nothing."""

_VERIFY_EPILOG = """example:
  pileus data verify records/mnist

Reads every byte and checks records, index and manifest against one another.
Exit code 0: all is whole; 1: damage was found, all of it is listed; 2: DEST is no record set."""

_REPAIR_EPILOG = """examples:
  pileus data repair records/photos --from path/to/photos
  pileus data repair records/photos

With --from, what is bad is made again from SOURCE, which must be the one that DEST was written from; the bytes are
then those that were written. Without it, bad records are dropped and named. Nothing else is lost, also not when the
repair is killed: until its last step the set is read as it was. Exit code 0: DEST is whole now."""

_INDEX_EPILOG = """example:
  pileus data index records/photos

Makes the index, the offsets beside each shard and, where it is lost, the manifest anew from the shards alone, which
must be whole. A lost manifest knew more than the shards: how drawings were made, and what the source was."""

_SHOW_EPILOG = f"""{_SOURCES}

examples:
  pileus data show embedded:strokes
  pileus data show path/to/photos --json"""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("data", description="Write, verify, mend and show record sets.")
    actions = parser.add_subparsers(dest="action", required=True, metavar="write | verify | repair | index | show")
    write = actions.add_parser("write", description="Write a source's images as records.", epilog=_WRITE_EPILOG)
    write.add_argument("source", metavar="SOURCE", help="labelled images, see below")
    write.add_argument("dest", metavar="DEST", help="folder or URI of the record set; new, empty or equal")
    _add_kind(write)
    write.add_argument("--processes", metavar="N", type=int, help="processes that pack shards (all usable cores)")
    size = write.add_mutually_exclusive_group()
    size.add_argument("--shard-size", metavar="BYTES", default="64MB", help="size of a shard (64MB); KB, MB, GB")
    size.add_argument("--num-shards", metavar="N", type=int, help="number of shards, in place of their size")
    write.add_argument("--resize", metavar="HxW", help="crop to this aspect and resize to H x W pixels")
    write.add_argument("--channels", type=int, choices=(1, 3), help="make all pictures grey (1) or colour (3)")
    write.add_argument(
        "--validation", metavar="F", type=float, default=0.0, help="share of given train to make validation (0)"
    )
    write.add_argument("--encode", choices=ENCODES, default="auto", help="how images are stored, see below (auto)")
    write.add_argument("--quality", metavar="Q", type=int, help="of JPEG, 1 to 100, with --encode jpeg (90)")
    write.add_argument("--check", choices=CHECKS, default="head", help="of JPEG files that stay as they are (head)")
    write.set_defaults(call=write_call)
    verify = actions.add_parser("verify", description="Look for damage in a record set.", epilog=_VERIFY_EPILOG)
    verify.add_argument("dest", metavar="DEST", help="folder or URI of the record set")
    verify.set_defaults(call=verify_call)
    _register_repair(actions)
    show = actions.add_parser("show", description="Say what a source or record set holds.", epilog=_SHOW_EPILOG)
    show.add_argument("source", metavar="SOURCE", help="labelled images or a record set, see below")
    _add_kind(show)
    show.set_defaults(call=show_call)


def _register_repair(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    repair = actions.add_parser("repair", description="Mend a damaged record set.", epilog=_REPAIR_EPILOG)
    repair.add_argument("dest", metavar="DEST", help="folder or URI of the record set")
    repair.add_argument("--from", dest="source", metavar="SOURCE", help="what DEST was written from")
    _add_kind(repair)
    repair.set_defaults(call=repair_call)
    index = actions.add_parser("index", description="Make the index of a record set anew.", epilog=_INDEX_EPILOG)
    index.add_argument("dest", metavar="DEST", help="folder or URI of the record set")
    index.set_defaults(call=index_call)


def _add_kind(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kind", metavar="KIND", default="auto", help=f"kind of SOURCE: {', '.join(KINDS)}")


def write_call(args: argparse.Namespace, console: Console) -> int:
    options = WriteOptions(
        shard_size_bytes=parse_size(args.shard_size),
        num_shards=args.num_shards,
        resize=None if args.resize is None else parse_resize(args.resize),
        channels=args.channels,
        validation=args.validation,
        encode=args.encode,
        quality=args.quality,
        check=args.check,
    )
    processes = count_cores().usable if args.processes is None else args.processes
    source = open_source(args.source, args.kind)
    console.say(f"{args.source}: {len(source):,} images in {len(source.classes)} classes ({source.kind})")
    with console.progress("writing", "images") as progress:
        summary = write_records(source, args.dest, options=options, processes=processes, progress=progress)
    console.result(_written_document(summary), _written_text(summary, args.dest))
    return 0


def verify_call(args: argparse.Namespace, console: Console) -> int:
    with console.progress("verifying", "shards") as progress:
        report = verify_records(args.dest, progress)
    document = {
        "uri": report.uri,
        "ok": report.ok,
        "shards": report.shards,
        "records": report.records,
        "size_bytes": report.size_bytes,
        "fingerprint": report.fingerprint,
        "damage": [_damage_document(one) for one in report.damage],
    }
    console.result(document, _verified_text(report, args.dest))
    return 0 if report.ok else 1


def repair_call(args: argparse.Namespace, console: Console) -> int:
    with console.progress("repairing", "shards") as progress:
        if args.source is None:
            report = repair_records(args.dest, progress=progress)
        else:
            report = repair_from(open_source(args.source, args.kind), args.dest, progress)
    document = {
        "uri": report.uri,
        "was_whole": report.was_whole,
        "refetched": [_damage_document(one) for one in report.refetched],
        "dropped": [_damage_document(one) for one in report.dropped],
        "remade": [_damage_document(one) for one in report.remade],
        "records": report.manifest.records if report.manifest else 0,
        "fingerprint": report.manifest.fingerprint if report.manifest else None,
    }
    console.result(document, _repaired_text(report, args.dest))
    return 0


def index_call(args: argparse.Namespace, console: Console) -> int:
    with console.progress("indexing", "shards") as progress:
        described = rebuild_index(args.dest, progress)
    document = {
        "uri": resolve_uri(args.dest),
        "records": described.records,
        "splits": described.splits,
        "classes": described.classes,
        "shards": len(described.shards),
        "fingerprint": described.fingerprint,
    }
    counted = f"{described.records:,} records in {_plural(len(described.shards), 'shard')}"
    console.result(document, f"indexed {counted}\nnext: pileus data verify {shlex.quote(args.dest)}")
    return 0


def show_call(args: argparse.Namespace, console: Console) -> int:
    source = open_source(args.source, args.kind)
    summary = summarise(source)
    document = {"source": args.source, **_described(source, summary)}
    console.result(document, _shown(source, summary, args.source))
    return 0


def parse_size(text: str) -> int:
    """Bytes of `64MB`, `1GiB` or `1000000`. Powers of 1024 throughout."""
    match = re.fullmatch(r"(\d{1,15})\s*([kmg]?)(i?b)?", text.strip().lower())
    if match is None:
        raise UsageError(f"a size is a number of bytes with KB, MB or GB (got {text!r}); for example 64MB.")
    return int(match[1]) * {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}[match[2]]


def parse_resize(text: str) -> tuple[int, int]:
    """(H, W) of `64x48`."""
    match = re.fullmatch(r"(\d{1,6})\s*[x×]\s*(\d{1,6})", text.strip().lower())
    if match is None:
        raise UsageError(f"--resize takes height x width in pixels (got {text!r}); for example 64x64.")
    return int(match[1]), int(match[2])


def _written_document(summary: WriteSummary) -> dict[str, object]:
    described = summary.manifest
    return {
        "uri": summary.uri,
        "written": summary.written,
        "records": described.records,
        "splits": described.splits,
        "classes": described.classes,
        "shape": described.shape,
        "shards": len(described.shards),
        "size_bytes": sum(shard.size_bytes for shard in described.shards),
        "fingerprint": described.fingerprint,
    }


def _written_text(summary: WriteSummary, dest: str) -> str:
    described = summary.manifest
    size = _size(sum(shard.size_bytes for shard in described.shards))
    splits = ", ".join(f"{described.splits[split.name.lower()]:,} {split.name.lower()}" for split in Split)
    done = "wrote" if summary.written else "nothing to do: there are already"
    where = shlex.quote(dest)
    following = [f"check it: pileus data verify {where}"]
    if described.shape is None:
        following = ["pictures vary in size; to train on them write a set with --resize HxW", *following]
    return "\n".join(
        [
            f"{done} {described.records:,} records ({splits}) in {_plural(len(described.shards), 'shard')}, {size}",
            f"fingerprint {described.fingerprint[:16]}  {summary.uri}",
            *(f"next: {line}" for line in following),
        ]
    )


def _damage_document(one: Damage) -> dict[str, object]:
    return {"what": one.what, "shard": one.shard, "record": one.record, "offset": one.offset}


def _repaired_text(report: RepairReport, dest: str) -> str:
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


def _verified_text(report: VerifyReport, dest: str) -> str:
    looked = f"{report.records:,} records in {_plural(report.shards, 'shard')}, {_size(report.size_bytes)}"
    if report.ok:
        return f"whole: {looked}\nnext: pileus data show {shlex.quote(dest)}"
    lines = [str(one) for one in report.damage[:_SHOWN_DAMAGE]]
    more = len(report.damage) - len(lines)
    return "\n".join(
        [
            f"DAMAGED: {_plural(len(report.damage), 'fault')} found; whole are {looked}",
            *(f"  {line}" for line in lines),
            *([f"  and {more} more; --json lists all"] if more else []),
            f"next: pileus data repair {shlex.quote(dest)} --from SOURCE (without --from, bad records are dropped)",
        ]
    )


def _described(source: object, summary: SourceSummary) -> dict[str, object]:
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
    elif summary.preprocessing is not None:
        wanted = summary.preprocessing
        document["shape"] = (wanted.height, wanted.width, wanted.channels)
    else:
        document["shape"] = None
    return document


def _shown(source: object, summary: SourceSummary, place: str) -> str:
    names = [split.name.lower() for split in Split]
    rows = [["class", *names]]
    for name in summary.classes[:_SHOWN_CLASSES]:
        rows.append([name, *(f"{summary.counts[name][split]:,}" for split in names)])
    if len(summary.classes) > _SHOWN_CLASSES:
        rows.append([f"and {len(summary.classes) - _SHOWN_CLASSES} more", *([""] * len(names))])
    rows.append(["all", *(f"{summary.in_split(split):,}" for split in Split)])
    return "\n".join([*_facts(source, summary), "", *_aligned(rows), "", _next_step(source, place)])


def _aligned(rows: list[list[str]]) -> list[str]:
    """The first column to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]


def _facts(source: object, summary: SourceSummary) -> list[str]:
    document = _described(source, summary)
    shape = document["shape"]
    size = " x ".join(str(side) for side in shape) if isinstance(shape, tuple) else "varying size"
    lines = [f"{summary.kind}: {summary.samples:,} images of {size} in {len(summary.classes)} classes"]
    if isinstance(source, RecordSource):
        shards = source.records.manifest.shards
        total = _size(sum(shard.size_bytes for shard in shards))
        origin = source.records.manifest.origin
        whence = f"written from {origin.kind}" if origin else "made anew from its shards"
        lines.append(f"{_plural(len(shards), 'shard')}, {total}, {whence}")
    if not summary.splits_given:
        lines.append("splits are made by hash of the sample id")
    return [*lines, f"fingerprint {summary.fingerprint}"]


def _next_step(source: object, place: str) -> str:
    if isinstance(source, RecordSource):
        return f"next: pileus data verify {shlex.quote(place)}"
    return f"next: pileus data write {shlex.quote(place)} DEST"


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _size(size_bytes: int) -> str:
    for unit, step in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if size_bytes >= step:
            return f"{size_bytes / step:.1f} {unit}"
    return f"{size_bytes} bytes"
