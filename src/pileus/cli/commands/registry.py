"""`pileus registry`: which bundle of a model serves, which is compared with it, and how that came to be."""

from __future__ import annotations

import argparse
import datetime
import shlex
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pileus.bundles.disagreements import DISAGREEMENTS, Pair
from pileus.bundles.load import find_place
from pileus.bundles.registry import Registry
from pileus.bundles.roles import Roles
from pileus.cli.console import Console
from pileus.errors import UsageError
from pileus.operations.disagreements import Comparison, compare_answers, comparison_page, told
from pileus.store import open_store

_EPILOG = """examples:
  pileus registry promote shared/digits first         the bundle of run `first` is production; begins the registry
  pileus serve shared/digits                          serves production, and changes to what is promoted later
  pileus registry shadow shared/digits second         is asked a part of what production answers, to compare
  pileus registry disagreements shared/digits         how the two answered
  pileus registry promote shared/digits 3f9c          a version of the registry, by its first digits
  pileus registry rollback shared/digits              the former production again

REGISTRY is a folder or a URI (s3:, gs:, az:) that all servers of the model can read. BUNDLE is a version that is there,
by four digits or more, or a run's name, or the path or URI of a run or a bundle: that one is verified and copied first.
Servers of the registry notice within seconds; no request fails, and a bundle that cannot be loaded is not taken."""

_SHOWN_EVENTS = 10
_SHOWN_CASES = 20


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("registry", description="Say which bundle of a model serves.", epilog=_EPILOG)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, call, text in (
        ("show", _show, "bundles, their roles, and what was done"),
        ("add", _add, "verify a bundle and copy it, without a role"),
        ("promote", _promote, "make a bundle production"),
        ("rollback", _rollback, "make the former production production again"),
        ("shadow", _shadow, "ask a bundle what production is asked, to compare"),
        ("disagreements", _disagreements, "what production and the shadow answered otherwise"),
    ):
        verb = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        verb.add_argument("registry", metavar="REGISTRY", help="folder or URI of the registry")
        if name in ("add", "promote"):
            verb.add_argument("bundle", metavar="BUNDLE", help="a version here, or a run or a bundle elsewhere")
        elif name == "shadow":
            which = verb.add_mutually_exclusive_group(required=True)
            which.add_argument("bundle", metavar="BUNDLE", nargs="?", help="a version here, or a run or a bundle")
            which.add_argument("--off", action="store_true", help="compare with none any more")
        if name in ("add", "promote", "shadow"):
            verb.add_argument("--runs", default="runs", metavar="URI", help="where runs are kept (default: runs)")
        if name in ("add", "promote", "shadow", "rollback"):
            verb.add_argument("--reason", metavar="TEXT", help="kept in the history")
        if name == "disagreements":
            verb.add_argument("--report", metavar="FILE.html", help="write a page with the inputs as pictures")
        verb.set_defaults(call=call)


def _show(args: argparse.Namespace, console: Console) -> int:
    registry = Registry(args.registry)
    _tell(registry, registry.roles(), console)
    return 0


def _add(args: argparse.Namespace, console: Console) -> int:
    registry = Registry(args.registry)
    version = registry.add(find_place(args.bundle, args.runs), args.reason or "").version
    promote = f"pileus registry promote {shlex.quote(registry.place)} {version[:16]}"
    document = {"place": registry.place, "version": version}
    console.result(document, f"added {version[:16]} to {registry.place}\nnext: {promote}")
    return 0


def _promote(args: argparse.Namespace, console: Console) -> int:
    registry = Registry(args.registry)
    roles = registry.promote(_taken(registry, args), args.reason or "")
    _tell(registry, roles, console)
    return 0


def _rollback(args: argparse.Namespace, console: Console) -> int:
    registry = Registry(args.registry)
    registry.roles()
    _tell(registry, registry.rollback(args.reason or ""), console)
    return 0


def _shadow(args: argparse.Namespace, console: Console) -> int:
    registry = Registry(args.registry)
    registry.roles()
    roles = registry.shadow(None if args.off else _taken(registry, args), args.reason or "")
    _tell(registry, roles, console)
    return 0


def _taken(registry: Registry, args: argparse.Namespace) -> str:
    """The version that is meant, which is in the registry now."""
    found = registry.find(args.bundle)
    return registry.add(find_place(args.bundle, args.runs), args.reason or "").version if found is None else found


def _tell(registry: Registry, roles: Roles, console: Console) -> None:
    lines = [_line(registry, version, roles) for version in registry.versions()]
    document = {
        "place": registry.place,
        "production": roles.production,
        "shadow": roles.shadow,
        "former": roles.former,
        "bundles": lines,
        "history": roles.history,
    }
    console.result(document, _shown(registry, roles, lines))


def _line(registry: Registry, version: str, roles: Roles) -> dict[str, Any]:
    manifest = registry.manifest(version)
    role = "production" if version == roles.production else "shadow" if version == roles.shadow else ""
    added = [event.at_s for event in roles.history if event.version == version]
    return {
        "version": version,
        "role": role,
        "name": manifest.name,
        "run": manifest.provenance.run,
        "accuracy": manifest.metrics.get("accuracy"),
        "added_s": added[-1] if added else None,
    }


def _shown(registry: Registry, roles: Roles, lines: list[dict[str, Any]]) -> RenderableType:
    table = Table("version", "role", "name", "run", "accuracy", "added", box=None, pad_edge=False, header_style="dim")
    for line in sorted(lines, key=lambda line: -(line["added_s"] or 0)):
        accuracy = "" if line["accuracy"] is None else f"{line['accuracy']:.2%}"
        cells = (line["version"][:16], line["role"], line["name"], line["run"], accuracy, _when(line["added_s"]))
        table.add_row(*(Text(cell) for cell in cells))
    events = [
        _unbroken(
            f"{_when(event.at_s)}  {event.action} {event.version[:16]}{f': {event.reason}' if event.reason else ''}"
        )
        for event in roles.history[:_SHOWN_EVENTS]
    ]
    return Group(table, "", *events, "", _unbroken(f"next: {_next(registry, roles)}"))


def _next(registry: Registry, roles: Roles) -> str:
    place = shlex.quote(registry.place)
    if roles.production is None:
        return f"pileus registry promote {place} VERSION"
    return f"pileus registry disagreements {place}" if roles.shadow else f"pileus serve {place}"


def _when(at_s: float | None) -> str:
    if at_s is None:
        return ""
    return f"{datetime.datetime.fromtimestamp(at_s, datetime.UTC):%Y-%m-%d %H:%M} UTC"


def _disagreements(args: argparse.Namespace, console: Console) -> int:
    page = Path(args.report) if args.report else None
    if page and page.is_dir():
        raise UsageError(f"--report is a file (got the folder {page}); add a name, as {page / 'shadow.html'}.")
    registry = Registry(args.registry)
    comparison = compare_answers(registry)
    if page:
        open_store(page.parent).put(page.name, comparison_page(registry, comparison).encode())
        console.say(f"report: {page}")
    document = {
        "place": registry.place,
        "pairs": [_pair_document(pair) for pair in comparison.pairs],
        "shown": _pair_document(comparison.shown),
        "cases": [_case_document(comparison, number) for number in range(len(comparison.cases))],
        "report": str(page) if page else None,
    }
    console.result(document, _shown_comparison(registry, comparison))
    return 0


def _pair_document(pair: Pair) -> dict[str, Any]:
    return {
        "production": pair.production,
        "shadow": pair.shadow,
        "compared": pair.num_compared,
        "counts": pair.counts.by_outcome if pair.counts else {},
        "since_s": pair.counts.since_s if pair.counts else None,
    }


def _case_document(comparison: Comparison, number: int) -> dict[str, Any]:
    case = comparison.cases[number]
    return {
        "outcome": case.outcome,
        "request_id": case.request_id,
        "at_s": case.at_s,
        "media_type": case.media_type,
        "input_bytes": len(case.input),
        "production": case.production,
        "shadow": case.shadow,
    }


def _shown_comparison(registry: Registry, comparison: Comparison) -> RenderableType:
    pair = comparison.shown
    counts = pair.counts.by_outcome if pair.counts else {}
    head = [
        f"production {pair.production}, shadow {pair.shadow}",
        f"{pair.num_compared:,} answers compared, {pair.num_compared - counts.get('agreed', 0):,} otherwise "
        f"({', '.join(f'{kind} {counts.get(kind, 0):,}' for kind in DISAGREEMENTS)})",
        f"{counts.get('failed', 0):,} that the shadow could not answer, {counts.get('dropped', 0):,} dropped for time",
    ]
    table = Table("when", "otherwise", "production", "shadow", "request", box=None, pad_edge=False, header_style="dim")
    for case in comparison.cases[:_SHOWN_CASES]:
        cells = (told(case.production), told(case.shadow), case.request_id)
        table.add_row(_when(case.at_s), case.outcome, *map(Text, cells))
    place = shlex.quote(registry.place)
    more = f"kept {len(comparison.cases)}; as pictures: pileus registry disagreements {place} --report FILE.html"
    parts: list[RenderableType] = [Text("\n".join(head))]
    if comparison.cases:
        parts += [Text(), table, Text(), _unbroken(more)]
    return Group(*parts, _unbroken(f"next: pileus registry promote {place} {pair.shadow}"))


def _unbroken(text: str) -> Text:
    """A line to copy from."""
    return Text(text, no_wrap=True, overflow="ignore")
