"""`pileus demo`: everything once, on embedded data, with nothing to set up."""

from __future__ import annotations

import argparse
import os
import sys
import threading
import webbrowser
from typing import TYPE_CHECKING

import msgspec

from pileus.cli.console import Console
from pileus.cli.runs_output import BarObserver, human_result
from pileus.operations.demo import Served, draw, served, train_demo, usable_port
from pileus.operations.train import TrainResult

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_EPILOG = """What it does: writes the pen strokes of 30 people as record shards, trains a net on 20 of them with two
worker processes, packs it, serves it on http://127.0.0.1:8000, and sends it the digits of 6 people whom it
has never seen.
On a terminal the page stays up until Ctrl-C: draw a digit.

examples:
  pileus demo
  pileus demo --no-serve --json"""


def register(commands: Commands) -> None:
    parser = commands.add_parser(
        "demo", help="train and serve", description="Train on embedded handwriting and serve the page.", epilog=_EPILOG
    )
    parser.add_argument("--port", type=int, help="port of the page (default: 8000 where that is free)")
    parser.add_argument("--no-serve", action="store_true", help="stop after the bundle")
    parser.add_argument("--runs", default="runs", metavar="URI", help="where the run is kept (default: runs)")
    parser.set_defaults(call=_demo)


def _demo(args: argparse.Namespace, console: Console) -> int:
    watched = sys.stdout.isatty() and not console.json
    port = 0 if args.no_serve or (args.port is None and not watched) else usable_port(args.port)
    with console.progress("training", "images") as report:
        result = train_demo(args.runs, BarObserver(console, report))
    if args.no_serve:
        console.result(result, human_result(result))
        return 0
    with served(result, port) as url:
        console.say(f"serving {url}")
        with console.progress("drawing", "digits") as report:
            answers = draw(url, BarObserver(console, report))
        console.result({**msgspec.to_builtins(result), "served": answers}, _told(result, answers))
        if watched:
            _stay(url, console)
    return 0


def _told(result: TrainResult, answers: Served) -> str:
    return "\n".join(
        [
            human_result(result),
            "",
            f"drawn        {answers.drawings:,} digits of people never seen, over HTTP: {answers.accuracy:.2%} right",
            f"latency      p50 {answers.p50_ms:.1f} ms, p99 {answers.p99_ms:.1f} ms",
        ]
    )


def _stay(url: str, console: Console) -> None:
    """Until Ctrl-C, which here is the ordinary end."""
    console.say(f"\nDraw a digit: {url}   (Ctrl-C ends it)")
    if sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open_new_tab(url)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        console.say("stopped.")
