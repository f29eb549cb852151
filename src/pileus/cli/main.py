"""The `pileus` command: finds the command asked for, calls it, and turns every end into an exit code.

Only the module of the named command is imported, so that `pileus --help` is quick and a missing extra stops
nothing but the commands that need it.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import errno
import importlib
import importlib.metadata
import importlib.util
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from pileus.cli.console import Console
from pileus.cli.extras import bringing
from pileus.errors import MissingExtra, PileusError, UsageError

COMMANDS = {
    "demo": "train on embedded handwriting, pack the model and serve the page",
    "data": "write, verify and show record sets",
    "train": "train a model from a recipe or a file, on any engine",
    "runs": "list, show, resume, compare and verify runs",
    "cluster": "describe a cluster to the tool that starts its hosts; serve as one of them",
    "evaluate": "measure a run or a bundle on a labelled source",
    "predict": "answer picture files or strokes",
    "serve": "serve a run, a bundle or a registry: the page and the API",
    "registry": "which bundle of a model serves: promote, roll back, compare a shadow with it",
    "retrain": "train with corrections, and promote only what is better",
    "bench": "measure; each writes a record folder",
    "doctor": "what is installed, reachable, and what each lack costs",
}
"""Every command in the order of the help text, with its line there."""

_HELP = """usage: pileus COMMAND ... [--json] [--quiet]

From labelled images to a trained, served, measured image classifier.

commands:
{commands}

options:
  -h, --help     this text; `pileus COMMAND --help` teaches one command
  --version      the version

Results go to stdout, progress and logs to stderr. Exit codes: 0 done, 1 the work failed or damage was found,
2 wrong usage or bad input, 3 an extra or a service is missing, 130 interrupted."""

_REFUSED_BY_THE_MACHINE = {errno.EACCES, errno.EDQUOT, errno.EMFILE, errno.ENOSPC, errno.EPERM, errno.EROFS}


class Parser(argparse.ArgumentParser):
    """argparse that raises UsageError in place of exiting, and never guesses a shortened option."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        options["allow_abbrev"] = False
        super().__init__(*args, **options)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see `{self.prog} --help`.")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code and never raises."""
    words = list(sys.argv[1:] if argv is None else argv)
    options = words[: words.index("--")] if "--" in words else words
    console = Console(json="--json" in options, quiet="--quiet" in options)
    code = _guarded(lambda: _dispatch(words, console), console)
    try:
        if sys.stdout is not None:  # as it is where the caller has closed it
            sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            code = code or _refused(error, type(error).__name__, 1, console)
    return code


def present_commands() -> dict[str, str]:
    """The commands whose module is there, with their lines, in order."""
    return {
        name: line
        for name, line in COMMANDS.items()
        if importlib.util.find_spec(f"pileus.cli.commands.{name}") is not None
    }


def parser_of(name: str) -> Parser:
    """The parser of one command; ModuleNotFoundError where a library that it imports is not installed."""
    parser = Parser(prog="pileus", add_help=False)
    subparsers = parser.add_subparsers(dest="command", required=True)
    importlib.import_module(f"pileus.cli.commands.{name}").register(subparsers)
    _add_common_options(subparsers.choices[name])
    return parser


def leaves(parser: argparse.ArgumentParser) -> Iterable[argparse.ArgumentParser]:
    """The parsers without subcommands at or below this one."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        yield parser
    for group in groups:
        for child in group.choices.values():
            yield from leaves(child)


def _dispatch(words: list[str], console: Console) -> int:
    if not words:
        console.complain(_help_text())
        return UsageError.exit_code
    name = words[0]
    if name in ("-h", "--help", "help"):
        console.result({"commands": present_commands()}, _help_text())
        return 0
    if name == "--version":
        version = importlib.metadata.version("pileus")
        console.result({"version": version}, f"pileus {version}")
        return 0
    if name not in present_commands():
        raise UsageError(_unknown("command", name, present_commands()) + " See `pileus --help`.")
    try:
        return _call(name, words, console)
    except ModuleNotFoundError as error:
        found = bringing(error.name or "")
        if found is None:
            raise
        raise MissingExtra(f"pileus {name}", *found) from error


def _call(name: str, words: list[str], console: Console) -> int:
    parser = parser_of(name)
    arguments, rest = parser.parse_known_args(words)
    if rest:
        known = {option for leaf in leaves(parser) for option in leaf._option_string_actions}
        raise UsageError(_unknown("argument", rest[0], known) + f" See `pileus {name} --help`.")
    function: Callable[[argparse.Namespace, Console], int] = arguments.call
    return function(arguments, console)


def _guarded(call: Callable[[], int], console: Console) -> int:
    """The one place where an exception becomes an exit code."""
    try:
        return call()
    except SystemExit as leaving:  # argparse after --help; rich where stdout was closed
        return leaving.code if isinstance(leaving.code, int) else int(bool(leaving.code))
    except PileusError as error:
        return _refused(error, type(error).__name__, error.exit_code, console)
    except KeyboardInterrupt:
        console.complain("interrupted.")
        return 130
    except OSError as error:
        if error.errno in _REFUSED_BY_THE_MACHINE:
            return _refused(error, type(error).__name__, 1, console)
        return _own_fault(error, console)
    except Exception as error:
        return _own_fault(error, console)


def _refused(error: Exception, kind: str, code: int, console: Console) -> int:
    message = str(error)
    console.complain(f"pileus: {message}")
    if console.json:
        with contextlib.suppress(OSError):  # standard output may be what fails
            console.result({"error": {"kind": kind, "message": message}}, "")
    return code


def _own_fault(error: Exception, console: Console) -> int:
    text = "".join(traceback.format_exception(error))
    summary = traceback.format_exception_only(error)[-1].strip()
    where = text if os.environ.get("PILEUS_DEBUG") else f"traceback: {_keep(text)} (PILEUS_DEBUG=1 shows it here)"
    fault = PileusError(f"this is a fault of Pileus, please report it: {summary}\n{where}")
    return _refused(fault, "Fault", 1, console)


def _keep(text: str) -> str:
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="pileus-fault-", suffix=".txt", delete=False, encoding="utf-8"
        ) as file:
            file.write(text)
    except OSError:
        return "could not be written"
    return str(Path(file.name))


def _add_common_options(parser: argparse.ArgumentParser) -> None:
    for leaf in leaves(parser):
        leaf.add_argument("--json", action="store_true", help="print one JSON document on stdout")
        leaf.add_argument("--quiet", action="store_true", help="nothing on stderr but errors")


def _help_text() -> str:
    width = max(len(name) for name in COMMANDS)
    lines = [f"  {name:<{width}}     {line}" for name, line in present_commands().items()]
    return _HELP.format(commands="\n".join(lines))


def _unknown(kind: str, got: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(got, sorted(known), n=3, cutoff=0.5)
    hint = f" did you mean {' or '.join(near)}?" if near else ""
    return f"there is no {kind} {got!r};{hint}" if near else f"there is no {kind} {got!r}."
