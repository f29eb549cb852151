"""`pileus doctor`: what this machine and this installation can do, and what each lack costs.

Only what every command needs is essential; a missing extra or GPU is told with its cost and is no failure. With
`--faults` it holds the trials of an engine instead: runs that something befalls, and that must end well all the same.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import socket
import sys
import tempfile
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from rich.console import Group
from rich.table import Table
from rich.text import Text

from pileus.cli.console import Console
from pileus.cli.extras import WITHOUT, is_installed, libraries_by_extra
from pileus.errors import UsageError
from pileus.measure.environment import Environment, describe_environment
from pileus.operations.trials.outcome import Outcome
from pileus.operations.trials.scenarios import SCENARIOS
from pileus.spec.values import Spec
from pileus.store.cache import default_cache

_EPILOG = """examples:
  pileus doctor            a table
  pileus doctor --json     the same for a program
  pileus doctor --faults local                             kill, cut, stop, damage: every trial, some minutes
  pileus doctor --faults local --only worker-killed nan    these trials alone
  pileus doctor --faults ray@127.0.0.1:6379                on a cluster that is there; `ray` alone: on one of our own

Exit code 0: every command can start (a missing extra only rules out the commands that it names), every trial passed;
1: something that every command needs is broken, or a trial was not passed.

trials:
{trials}"""

_OLDEST_PYTHON = (3, 11)
_LITTLE_DISK_BYTES = 2 << 30
_MARKS = {"ok": ("yes", "green"), "lacking": ("no", "yellow"), "broken": ("broken", "bold red")}


class Finding(Spec, frozen=True, kw_only=True):
    """One thing that was looked at."""

    name: str
    state: Literal["ok", "lacking", "broken"]
    detail: str
    """What was found; for a lack what it costs and the way out."""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "doctor",
        description="Look at the machine and the installation; say what each lack costs.",
        epilog=_EPILOG.format(trials=_wrapped([scenario.name for scenario in SCENARIOS])),
    )
    parser.add_argument("--faults", metavar="ENGINE[@ADDRESS]", help="hold the trials of this engine under faults")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="with --faults: these trials alone")
    parser.set_defaults(call=call)


def _wrapped(names: list[str]) -> str:
    return textwrap.fill(", ".join(names), 100, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)


def call(args: argparse.Namespace, console: Console) -> int:
    if args.faults:
        return _hold_trials(args.faults, args.only, console)
    if args.only:
        raise UsageError("--only chooses trials, which --faults ENGINE holds; add it.")
    environment = describe_environment()
    findings = [*_look_at_machine(environment), *_look_at_system(), *_look_at_extras()]
    healthy = all(finding.state != "broken" for finding in findings)
    document = {"healthy": healthy, "environment": environment, "findings": findings}
    console.result(document, _drawn(findings, healthy))
    return 0 if healthy else 1


def _look_at_machine(environment: Environment) -> Iterable[Finding]:
    enough = sys.version_info >= _OLDEST_PYTHON
    python = f"{environment.implementation} {environment.python}"
    yield Finding(name="Python", state="ok" if enough else "broken", detail=f"{python} (3.11 or newer)")
    yield Finding(name="system", state="ok", detail=environment.system)
    yield Finding(name="cores", state="ok", detail=_told_cores(environment))
    memory = environment.memory_bytes
    yield Finding(name="memory", state="ok", detail="unknown" if memory is None else _told_bytes(memory))
    abilities = " ".join(environment.capabilities) or "none of those that are looked for"
    yield Finding(name="processor", state="ok", detail=f"{environment.processor}: {abilities}")
    if environment.gpus:
        told = "; ".join(f"{gpu.name}, {_told_bytes(gpu.memory_bytes)}" for gpu in environment.gpus)
        built = environment.libraries.get("torch", "").partition("+")[2]
        use = "torch here is built for processors alone" if built == "cpu" else "train on it by --device cuda"
        yield Finding(name="GPU", state="lacking" if built == "cpu" else "ok", detail=f"{told}; {use}")
    else:
        yield Finding(name="GPU", state="lacking", detail="none found; training runs on the processor")


def _look_at_system() -> Iterable[Finding]:
    yield _look_at_disk("disk here", Path.cwd())
    yield _look_at_temporary()
    yield _look_at_cache()
    yield _look_at_loopback()


def _look_at_disk(name: str, folder: Path) -> Finding:
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Finding(name=name, state="lacking", detail=f"cannot be measured: {error}")
    if free < _LITTLE_DISK_BYTES:
        told = f"{_told_bytes(free)} free; records, checkpoints and bundles may not fit"
        return Finding(name=name, state="lacking", detail=told)
    return Finding(name=name, state="ok", detail=f"{_told_bytes(free)} free")


def _look_at_temporary() -> Finding:
    name = "temporary folder"
    try:
        with tempfile.TemporaryFile(prefix="pileus-doctor-") as file:
            file.write(b"x")
            file.flush()
    except OSError as error:
        return Finding(name=name, state="broken", detail=f"{error}; set TMPDIR to a folder that can be written")
    return _look_at_disk(name, Path(tempfile.gettempdir()))


def _look_at_cache() -> Finding:
    """Where shards of remote record sets are kept."""
    name = "shard cache"
    try:
        cache = default_cache()
        used = cache.used_bytes() if cache else 0
    except (UsageError, OSError) as error:
        return Finding(name=name, state="lacking", detail=str(error))
    if cache is None:
        return Finding(name=name, state="lacking", detail="turned off; every read of a remote record costs its latency")
    told = f"{_told_bytes(used)} of {_told_bytes(cache.max_bytes)} used in {cache.folder} (PILEUS_CACHE)"
    return Finding(name=name, state="ok", detail=told)


def _look_at_loopback() -> Finding:
    name = "loopback"
    try:
        with socket.create_server(("127.0.0.1", 0)):
            return Finding(name=name, state="ok", detail="a port on 127.0.0.1 can be opened")
    except OSError as error:
        told = f"no port on 127.0.0.1 can be opened ({error}); workers and the server need one"
        return Finding(name=name, state="broken", detail=told)


def _look_at_extras() -> Iterable[Finding]:
    for extra, libraries in libraries_by_extra().items():
        name = f"pileus[{extra}]"
        missing = [library for library in libraries if not is_installed(library)]
        if missing:
            told = f"{WITHOUT[extra]} (missing: {', '.join(missing)}); pip install '{name}'"
            yield Finding(name=name, state="lacking", detail=told)
        else:
            yield Finding(name=name, state="ok", detail=" ".join(libraries))


def _hold_trials(engine: str, only: list[str], console: Console) -> int:
    from pileus.operations.trials.suite import chosen, run_trials  # noqa: PLC0415 - doctor itself works without torch

    outcomes = []
    with (
        console.progress("trials", "trials") as progress,
        contextlib.closing(run_trials(engine, chosen(only), progress)) as trials,
    ):
        for outcome in trials:
            outcomes.append(outcome)
            told = outcome.skipped or "; ".join(outcome.complaints or outcome.told)
            console.say(f"{_ended(outcome)}  {outcome.name}  {outcome.seconds:.1f} s  {told}")
    passed = all(outcome.passed for outcome in outcomes)
    console.result({"engine": engine, "passed": passed, "trials": outcomes}, _drawn_trials(outcomes, engine))
    return 0 if passed else 1


def _ended(outcome: Outcome) -> str:
    if outcome.skipped:
        return "skipped"
    return "passed" if outcome.passed else "failed"


def _drawn_trials(outcomes: list[Outcome], engine: str) -> Group:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("trial", "ended", "seconds", "what befell the run"):
        table.add_column(title)
    for outcome in outcomes:
        style = {"passed": "green", "failed": "bold red", "skipped": "yellow"}[_ended(outcome)]
        why = outcome.skipped or "; ".join(outcome.complaints)
        told = f"{outcome.about} ({why})" if why else outcome.about
        table.add_row(Text(outcome.name), Text(_ended(outcome), style=style), f"{outcome.seconds:.1f}", Text(told))
    held = [outcome for outcome in outcomes if not outcome.skipped]
    num_passed = sum(outcome.passed for outcome in held)
    end = Text(f"Engine {engine} passed {num_passed} of {len(held)} trials; {len(outcomes) - len(held)} were skipped.")
    return Group(table, Text(), end)


def _told_cores(environment: Environment) -> str:
    cores = environment.cores
    quota = "no quota" if cores.quota is None else f"quota of {cores.quota:g}"
    return f"{cores.usable} usable (machine {cores.machine}, affinity {cores.affinity}, {quota})"


def _told_bytes(count: int) -> str:
    return f"{count / (1 << 30):,.1f} GiB"


def _drawn(findings: list[Finding], healthy: bool) -> Group:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("what", "there", "detail"):
        table.add_column(title)
    for finding in findings:
        word, style = _MARKS[finding.state]
        table.add_row(Text(finding.name), Text(word, style=style), Text(finding.detail))
    if healthy:
        end = Text("Pileus can work here. Next: pileus demo")
    else:
        end = Text("Something that Pileus needs is broken: see the lines marked so.", style="bold red")
    return Group(table, Text(), end)
