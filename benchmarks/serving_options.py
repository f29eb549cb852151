"""What an option of `pileus serve` costs: corrections kept, a shadow asked, requests logged, spans sent.

In each round every option has a fresh server, in drawn order: users who never pause say what it gives, and an open loop
at a fourth of what the plain server gives says how long it lets wait. Server, sender and the spans' collector share the
machine.

    python benchmarks/serving_options.py BUNDLE [--rounds 5] [--body strokes]
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from record import spread, write_record
from serving_faults import Bench, change_version, task_for

from pileus.bench.serving.bodies import Bodies, bodies_of, wrong_answers
from pileus.bench.serving.load import SATURATING, Arrivals
from pileus.bench.serving.served import served
from pileus.bench.serving.trial import send
from pileus.bundles import load
from pileus.bundles.registry import Registry

PLAIN, SHARE = "plain", 0.25
SECONDS, SATURATE_S = 6.0, 5.0
COLLECTOR = """
import http.server

class Collector(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass

with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
    print(server.server_port, flush=True)
    server.serve_forever()
"""
"""Takes spans and forgets them."""


class Choice(NamedTuple):
    place: str
    options: tuple[str, ...] = ()
    environment: Mapping[str, str] = {}


class Seen(NamedTuple):
    most_per_s: float
    """What users without a pause are given."""
    p50_ms: float
    p99_ms: float
    wrong: int


def choices(bundle: str, folder: Path, collector: str) -> dict[str, Choice]:
    """By name; `folder` is for what they keep."""
    other, registry = folder / "other", Registry(str(folder / "registry"))
    shutil.copytree(bundle, other)
    change_version(str(other))
    registry.promote(registry.add(bundle).version)
    registry.shadow(registry.add(str(other)).version)
    spans = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector}
    few = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"}
    return {
        PLAIN: Choice(bundle),
        "--feedback": Choice(bundle, ("--feedback", str(folder / "corrections"))),
        "a shadow, asked a tenth": Choice(registry.place),
        "a shadow, asked all": Choice(registry.place, ("--shadow-share", "1")),
        "--log-requests": Choice(bundle, ("--log-requests",)),
        "--traces": Choice(bundle, ("--traces",), spans),
        "--traces, one in a hundred": Choice(bundle, ("--traces",), spans | few),
    }


@contextmanager
def collecting() -> Iterator[str]:
    """The URL of a collector of spans, in a process of its own."""
    with subprocess.Popen([sys.executable, "-c", COLLECTOR], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def seen(choice: Choice, bodies: Bodies, per_s: float | None) -> Seen:
    """Without a rate the open loop asks a fourth of what this server has just given."""
    with served(choice.place, choice.options, choice.environment) as server:
        bench = Bench(choice.place, bodies, choice.options, 0.0)
        most = send(task_for(bench, server, SATURATING, SATURATE_S))
        sent = send(task_for(bench, server, Arrivals(per_s=per_s or SHARE * most.goodput), SECONDS))
    if sent.latency is None or sent.failed or most.failed:
        raise SystemExit(f"{choice}: not everyone was answered: {most.failed}, {sent.failed}")
    wrong = wrong_answers(most.given, bodies) + wrong_answers(sent.given, bodies)
    return Seen(most.goodput, sent.latency.p50_ms, sent.latency.p99_ms, wrong)


def all_seen(bundle: str, bodies: Bodies, rounds: int) -> dict[str, list[Seen]]:
    found: dict[str, list[Seen]] = {}
    per_s: float | None = None
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder, collecting() as collector:
            given = choices(bundle, Path(folder), collector)
            names = random.sample(list(given), len(given)) if per_s else list(given)
            for name in names:
                found.setdefault(name, []).append(seen(given[name], bodies, per_s))
                per_s = per_s or SHARE * found[PLAIN][0].most_per_s
                print(name, found[name][-1], file=sys.stderr, flush=True)
    return found


def figures(found: dict[str, list[Seen]]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for name, rounds in found.items():
        pairs = zip(rounds, found[PLAIN], strict=True)
        told[f"{name}: answers a second"] = spread([each.most_per_s for each in rounds])
        told[f"{name}: p50 at a fourth, ms"] = spread([each.p50_ms for each in rounds])
        told[f"{name}: p99 at a fourth, ms"] = spread([each.p99_ms for each in rounds])
        if name != PLAIN:
            told[f"{name}: answers by plain ones"] = spread(
                [each.most_per_s / plain.most_per_s for each, plain in pairs]
            )
    return told | {"wrong answers": sum(each.wrong for rounds in found.values() for each in rounds)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", help="of drawings, in a folder")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--body", choices=("raw", "png", "strokes"), default="strokes")
    args = parser.parse_args()
    found = all_seen(args.bundle, bodies_of(args.body, load(args.bundle), None), args.rounds)
    says = (
        f"{args.body} bodies; users without a pause, then an open loop at a fourth of what the plain server gave first."
    )
    raw = {name: [each._asdict() for each in rounds] for name, rounds in found.items()}
    print(write_record("serving-options", figures(found), raw, says))


if __name__ == "__main__":
    main()
