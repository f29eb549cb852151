"""`pileus predict`: answers for files, by the same preprocessing and bundle as the server."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import msgspec
from rich.table import Column, Table

from pileus.bundles import Bundle, load
from pileus.bundles.load import find_place
from pileus.cli.console import Console
from pileus.errors import UsageError
from pileus.preprocessing.files import MAX_PIXELS
from pileus.preprocessing.lattice import Candidate
from pileus.serving.answers import Refusal
from pileus.serving.predictions import Asked, Found, as_json, found
from pileus.serving.requests import PICTURES, STROKES, Limits, candidates_of
from pileus.spec.preprocessing import Drawing, Preprocessing

_MOST_BYTES = 256 * 1024 * 1024
_AT_ONCE = 256

_EPILOG = """examples:
  pileus predict digits seven.png four.jpg
  pileus predict runs/digits/bundle drawing.json --json     {"strokes": [[[x, y], ...], ...]}, y downwards"""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "predict",
        help="answer picture files or strokes",
        description="Answer PNG and JPEG pictures, or strokes as JSON, with a trained model.",
        epilog=_EPILOG,
    )
    parser.add_argument("place", metavar="RUN|BUNDLE", help="a run's name, or the path or URI of a run or a bundle")
    parser.add_argument("files", metavar="FILE", nargs="+", help="a picture, or strokes as JSON")
    parser.add_argument("--runs", default="runs", metavar="URI", help="where runs are kept (default: %(default)s)")
    parser.set_defaults(call=predict)


def predict(args: argparse.Namespace, console: Console) -> int:
    bundle = load(find_place(args.place, args.runs))
    answers: list[tuple[str, list[Found]]] = []
    with console.progress("predicting", "files") as report:
        for start in range(0, len(args.files), _AT_ONCE):
            names = args.files[start : start + _AT_ONCE]
            asked: list[Asked] = [_candidates(Path(name), bundle.manifest.preprocessing) for name in names]
            answers += zip(names, found(bundle, asked).answers, strict=True)
            report(len(answers), len(args.files))
    console.result([_document(bundle, name, answer) for name, answer in answers], _table(answers))
    return 0


def _candidates(file: Path, spec: Preprocessing) -> list[Candidate]:
    """UsageError that names the file."""
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise UsageError(f"a file may have at most {_MOST_BYTES} bytes; make it smaller.")
        content = file.read_bytes()
        media_type = STROKES if content.lstrip()[:1] == b"{" else PICTURES[0]
        if media_type == STROKES and not isinstance(spec, Drawing):
            raise UsageError("this model answers pictures, not strokes; give PNG or JPEG files.")
        return candidates_of(content, media_type, spec, Limits(pixels=MAX_PIXELS))
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror or error}.") from error
    except UsageError as error:
        raise UsageError(f"{file}: {error}") from error
    except Refusal as error:
        raise UsageError(f"{file}: {error.detail}") from error


def _document(bundle: Bundle, name: str, answer: list[Found]) -> dict[str, Any]:
    """As the server tells it."""
    return {
        "file": name,
        "model": {"name": bundle.name, "version": bundle.version},
        **msgspec.json.decode(as_json(answer)),
    }


def _table(answers: list[tuple[str, list[Found]]]) -> Table:
    """A line an item."""
    table = Table(Column("file", overflow="fold"), "answer", "confidence", "verdict", box=None, pad_edge=False)
    for name, answer in answers:
        for number, prediction in enumerate(answer):
            shown = name if number == 0 else ""
            table.add_row(shown, prediction.label or "-", f"{prediction.confidence:.1%}", prediction.verdict)
    return table
