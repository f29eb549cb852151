"""`pileus serve`: a run, a bundle or a registry behind the page and the API."""

from __future__ import annotations

import argparse
import os
import signal

from pileus.bundles.load import find_place
from pileus.cli.console import Console
from pileus.errors import Interrupted
from pileus.serving import processes
from pileus.serving.options import ServeOptions

_EPILOG = """examples:
  pileus serve digits                          the bundle of a run, at http://127.0.0.1:8000
  pileus serve runs/digits/bundle --port 0     any free port; the address is printed when the model is warm
  pileus serve shared/digits --feedback kept   the production of a registry, and what is promoted there later
  PILEUS_API_KEY=... pileus serve digits --host 0.0.0.0 --processes 4

Ask it:
  curl -H 'Content-Type: image/png' --data-binary @seven.png http://127.0.0.1:8000/v1/predict

Beyond this machine a key is required (in the environment as PILEUS_API_KEY, sent as Authorization: Bearer KEY),
unless --allow-anonymous is given. SIGTERM and Ctrl-C let running requests finish first; SIGHUP reads the bundle
again and changes to it without failing a request, which a registry needs no signal for (pileus registry --help);
SIGUSR2 restarts the processes one after another.

Watch it by Prometheus at /metrics, by --log-requests and by --traces; docs/monitoring.md has a dashboard and alerts."""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "serve",
        help="serve a run or a bundle: the page and the API",
        description="Answer drawings and pictures with a trained model: a page for people, an API for programs.",
        epilog=_EPILOG,
    )
    place = "a run's name, or the path or URI of a run, a bundle or a registry"
    parser.add_argument("place", metavar="RUN|BUNDLE|REGISTRY", help=place)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="0 finds a free one (default: %(default)s)")
    parser.add_argument("--allow-anonymous", action="store_true", help="ask nobody for a key")
    parser.add_argument(
        "--processes",
        type=int,
        metavar="N",
        help="that compute; for every two, one that reads and writes (default: cores)",
    )
    parser.add_argument(
        "--grace",
        type=float,
        default=0.0,
        metavar="S",
        help="go on serving so long after a signal (default: %(default)s)",
    )
    parser.add_argument(
        "--feedback",
        metavar="PLACE",
        help="folder or URI that keeps corrections of answers, which `pileus train --data PLACE` learns from",
    )
    parser.add_argument(
        "--shadow-share",
        type=float,
        default=0.1,
        metavar="F",
        help="of what is answered, how much a registry's shadow is asked too (default: %(default)s)",
    )
    parser.add_argument("--log-requests", action="store_true", help="one line of JSON a request, on the standard error")
    parser.add_argument(
        "--traces",
        action="store_true",
        help="a span a request, by OpenTelemetry, to where its OTEL_EXPORTER_OTLP_ENDPOINT says",
    )
    parser.add_argument("--runs", default="runs", metavar="URI", help="where runs are kept (default: %(default)s)")
    parser.set_defaults(call=serve)


def serve(args: argparse.Namespace, console: Console) -> int:
    options = ServeOptions(
        host=args.host,
        port=args.port,
        api_key=os.environ.get("PILEUS_API_KEY"),
        allow_anonymous=args.allow_anonymous,
        processes=args.processes,
        grace_s=args.grace,
        feedback=args.feedback,
        shadow_share=args.shadow_share,
        log_requests=args.log_requests,
        traces=args.traces,
    )
    if options.asked_key is not None:
        console.say("every request must bring the key of PILEUS_API_KEY.")
    ended_by = processes.run(find_place(args.place, args.runs), options, lambda url: _tell(console, url))
    console.say("stopped; what was begun has been answered.")
    return Interrupted.exit_code if ended_by == signal.SIGINT else 0


def _tell(console: Console, url: str) -> None:
    console.result({"url": url}, url)
    console.say("ready; stop with Ctrl-C.")
