"""`pileus data`: labelled images into record sets, and what a source or a set holds."""

from __future__ import annotations

import argparse
import re
import shlex
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from pileus.cli.console import Console
from pileus.cli.data_output import (
    aligned,
    damage_document,
    division_told,
    feature_document,
    feature_rows,
    plural,
    repaired_text,
    shown,
    source_document,
    verified_text,
    written_document,
    written_text,
)
from pileus.data.options import CHECKS, ENCODES
from pileus.data.repair import repair_from
from pileus.data.sources.open import KINDS, local_path, open_source
from pileus.data.sources.ports import ListedSource
from pileus.data.sources.tfrecord import ImageFeatures, TFRecordSource
from pileus.data.sources.tfrecord_files import find_files, survey_tfrecords
from pileus.data.summary import summarise
from pileus.data.write import Division, WriteOptions
from pileus.engines.ports import Engine
from pileus.errors import SourceError, UsageError
from pileus.machine import count_cores
from pileus.operations.write import write_source
from pileus.records import rebuild_index, repair_records, verify_records
from pileus.store import resolve_uri

_SOURCES = """SOURCE is one of
  a folder with one folder of pictures (PNG, JPEG) per class, or train/, validation/, test/ of such
  a folder with MNIST-style idx files, plain or .gz, or with CIFAR-10 python batches, plain or .xz
  a manifest: .csv or .jsonl with path and label, optionally split and id
  a record set that Pileus wrote, or the corrections that `pileus serve --feedback` keeps
  TFRecord files of others (tf.train.Example with a picture and a label), one or a folder of them
  embedded:digits, embedded:strokes; embedded:outliers, embedded:several: what is no digit, and what is several
Samples without a split get one by the hash of their id: 70 % train, 10 % validation, 20 % test."""

_WRITE_EPILOG = f"""{_SOURCES}

examples:
  pileus data write embedded:digits records/digits
  pileus data write path/to/mnist records/mnist --validation 0.1
  pileus data write path/to/photos records/photos --resize 64x64 --shard-size 256MB
  pileus data write path/to/photos records/small --num-shards 8 --resize 224x224 --encode jpeg --quality 90
  pileus data write path/to/photos records/photos --engine ray --processes 4 --shard-size 16MB --partitions 16

--encode says how images are stored: auto: JPEG files as they are, all else as pixels; keep: every file as
it is; raw: pixels; jpeg, png: as such files, those that are so already as they are (jpeg with --quality: anew).
Of JPEG files that stay as they are, head and end are looked at; --check decode looks at every pixel.

A partition is what a worker packs as one task: a whole number of shards in a row. Many let the slower workers do fewer;
few cost fewer tasks, each of which needs SOURCE open: a listing of files, the index of a record set, or all images of
idx files and CIFAR batches, which are sent along. By --cache a worker keeps that, in memory, from its first partition
to its last, and shards of a remote record set on its disk (PILEUS_CACHE); --no-cache, where either is short. Pictures
in folders, manifests and TFRecord files are not kept: each partition reads its own, once.

The bytes written do not depend on --engine, --processes, --partitions and --cache. A write that was interrupted leaves
nothing that reads as a record set; run again, it keeps the shards that are whole. A write of what DEST already holds
does nothing."""

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
    write.add_argument(
        "--engine",
        metavar="E",
        default="local",
        help="where shards are packed; as of `train`",
    )
    write.add_argument("--processes", metavar="N", type=int, help="workers that pack shards (all usable cores)")
    write.add_argument("--partitions", metavar="N", type=int, help="tasks to pack the shards in (as many as shards)")
    keeping = argparse.BooleanOptionalAction
    write.add_argument("--cache", action=keeping, help="whether workers keep SOURCE for their next partitions (yes)")
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
    write.add_argument("--report", metavar="FILE", help="a page to make, .html: what workers and hosts used meanwhile")
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
    parser.add_argument("--image-feature", metavar="NAME", help="of TFRecord files: the feature with the picture")
    parser.add_argument("--label-feature", metavar="NAME", help="of TFRecord files: the feature with the label")


def _opened(args: argparse.Namespace) -> ListedSource:
    return open_source(args.source, args.kind, ImageFeatures(args.image_feature, args.label_feature))


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
    division = Division(partitions=args.partitions, cache=args.cache is not False)
    source = _opened(args)
    console.say(f"{args.source}: {len(source):,} images in {len(source.classes)} classes ({source.kind})")
    if isinstance(source, TFRecordSource):
        console.say(f"pictures from {source.chosen.image}, labels from {source.chosen.label}")
    with console.progress("writing", "images") as progress, _engine(args) as engine:
        summary = write_source(
            source, args.dest, options=options, engine=engine, workers=processes, division=division, progress=progress
        )
    if args.report is not None:
        console.say(f"what it used: {args.report}")
    for line in division_told(summary, args.partitions, args.cache, processes):
        console.say(line)
    console.result(written_document(summary), written_text(summary, args.dest))
    return 0


def _engine(args: argparse.Namespace) -> AbstractContextManager[str | Engine]:
    if args.report is None:
        return nullcontext(args.engine)
    from pileus.operations.usage import watched_write  # noqa: PLC0415 - draws, by the extra train

    return watched_write(args.engine, Path(args.report).expanduser(), args.dest)


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
        "damage": [damage_document(one) for one in report.damage],
    }
    console.result(document, verified_text(report, args.dest))
    return 0 if report.ok else 1


def repair_call(args: argparse.Namespace, console: Console) -> int:
    with console.progress("repairing", "shards") as progress:
        if args.source is None:
            report = repair_records(args.dest, progress=progress)
        else:
            report = repair_from(_opened(args), args.dest, progress)
    document = {
        "uri": report.uri,
        "was_whole": report.was_whole,
        "refetched": [damage_document(one) for one in report.refetched],
        "dropped": [damage_document(one) for one in report.dropped],
        "remade": [damage_document(one) for one in report.remade],
        "records": report.manifest.records if report.manifest else 0,
        "fingerprint": report.manifest.fingerprint if report.manifest else None,
    }
    console.result(document, repaired_text(report, args.dest))
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
    counted = f"{described.records:,} records in {plural(len(described.shards), 'shard')}"
    console.result(document, f"indexed {counted}\nnext: pileus data verify {shlex.quote(args.dest)}")
    return 0


def show_call(args: argparse.Namespace, console: Console) -> int:
    try:
        source = _opened(args)
    except SourceError as error:
        return _show_features(args, console, error)
    summary = summarise(source)
    document = {"source": args.source, **source_document(source, summary)}
    console.result(document, shown(source, summary, args.source))
    return 0


def _show_features(args: argparse.Namespace, console: Console, error: SourceError) -> int:
    """What TFRecord files hold that are not labelled pictures, or not by names that are known; else the error."""
    path = local_path(args.source)
    if args.kind not in ("auto", "tfrecord") or not path.exists() or not find_files(path):
        raise error
    survey = survey_tfrecords(path)
    document = {
        "source": args.source,
        "kind": "tfrecord",
        "records": survey.records,
        "features": [feature_document(one) for one in survey.features],
        "problem": str(error),
    }
    human = [f"tfrecord: {survey.records:,} records", "", *aligned(feature_rows(survey.features)), "", str(error)]
    console.result(document, "\n".join(human))
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
