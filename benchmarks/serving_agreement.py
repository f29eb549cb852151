"""Whether the sender of `pileus bench serving` measures what others measure: Locust's users, and wrk's connections.

The same server, one load after another in rounds: users who pause (ours and Locust's), and connections that never do
(ours and wrk's, where wrk is installed; of strokes wrk's alone). Answers a second and quantiles must agree within what
rounds differ by, but that wrk spends less.

    python benchmarks/serving_agreement.py BUNDLE [--rounds 3] [--seconds 10]

Locust is taken from the peers' environment: see serving_against_peers.py.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from peers import peers_environment
from record import spread, write_record
from serving_against_peers import PACKAGE

from pileus.bench.serving.bodies import Bodies, Kind, bodies_of
from pileus.bench.serving.load import Sent, Task, Users
from pileus.bench.serving.served import Server, served
from pileus.bench.serving.trial import send
from pileus.bundles import load

BENCHMARKS = Path(__file__).parent
USERS, CONNECTIONS, THINK_S = 50, 128, 1.0
_WRK = re.compile(r"50%\s+(?P<p50>[\d.]+)(?P<unit50>us|ms|s).*99%\s+(?P<p99>[\d.]+)(?P<unit99>us|ms|s)", re.DOTALL)
_MS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


class Seen(NamedTuple):
    per_s: float
    p50_ms: float
    p99_ms: float


def by_us(server: Server, bodies: Bodies, loaded: Users, seconds: float) -> Seen:
    sent: Sent = send(
        Task(
            host=server.host,
            port=server.port,
            media_type=bodies.media_type,
            bodies=bodies.contents,
            load=loaded,
            seconds=seconds,
        )
    )
    assert sent.latency is not None, sent.failed
    return Seen(sent.goodput, sent.latency.p50_ms, sent.latency.p99_ms)


def by_locust(server: Server, python: str, seconds: float) -> Seen:
    """From the row of its table that sums up."""
    with tempfile.TemporaryDirectory() as folder:
        command = [python, "-m", "locust", "-f", str(BENCHMARKS / "serving_locustfile.py"), "--headless"]
        command += ["--host", f"http://{server.host}:{server.port}", "--users", str(USERS), "--spawn-rate", str(USERS)]
        command += [
            "-t",
            f"{seconds:g}s",
            "--csv",
            f"{folder}/x",
            "--only-summary",
            "--reset-stats",
            "--think-s",
            f"{THINK_S:g}",
        ]
        environment = os.environ | {"PYTHONPATH": str(BENCHMARKS.parent / "src")}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds + 60)
        if done.returncode:
            raise SystemExit(f"locust failed: {done.stderr[-500:]}")
        with (Path(folder) / "x_stats.csv").open() as file:
            row = next(row for row in csv.DictReader(file) if row["Name"] == "Aggregated")
    return Seen(float(row["Requests/s"]), float(row["50%"]), float(row["99%"]))


def by_wrk(server: Server, bodies: Bodies, seconds: float) -> Seen:
    """One body again and again: that is what wrk does."""
    body = "".join(f"\\{byte:03}" for byte in bodies.contents[0])
    script = f'wrk.method="POST"; wrk.headers["Content-Type"]="{bodies.media_type}"; wrk.body="{body}"'
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        url = f"http://{server.host}:{server.port}/v1/predict"
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:.0f}s", "--latency", "-s", file.name, url]
        out = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=True).stdout
    found, rate = _WRK.search(out), re.search(r"Requests/sec:\s+([\d.]+)", out)
    if found is None or rate is None or "Non-2xx" in out:
        raise SystemExit(f"wrk said something else: {out}")
    return Seen(float(rate[1]), float(found["p50"]) * _MS[found["unit50"]], float(found["p99"]) * _MS[found["unit99"]])


def seen(args: argparse.Namespace) -> dict[str, list[Seen]]:
    """By who measured what, one a round."""
    bundle = load(args.bundle)
    kinds: tuple[Kind, ...] = ("strokes", "raw")
    strokes, raw = (bodies_of(kind, bundle, None) for kind in kinds)
    python = args.peers_python or peers_environment(PACKAGE)
    found: dict[str, list[Seen]] = {}
    for _ in range(args.rounds):
        with served(args.bundle) as server:
            users = Users(users=USERS, think_s=THINK_S)
            found.setdefault("users by us", []).append(by_us(server, strokes, users, args.seconds))
            found.setdefault("users by Locust", []).append(by_locust(server, python, args.seconds))
            never = Users(users=CONNECTIONS)
            found.setdefault("connections by us", []).append(by_us(server, raw, never, args.seconds))
            if shutil.which("wrk"):
                found.setdefault("connections by wrk", []).append(by_wrk(server, raw, args.seconds))
                found.setdefault("connections by wrk, strokes", []).append(by_wrk(server, strokes, args.seconds))
        print({name: rounds[-1] for name, rounds in found.items()}, file=sys.stderr, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", help="a bundle of drawings, 28 x 28 grey, in a folder")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--peers-python", help="of an environment with serving_peers/requirements.txt")
    args = parser.parse_args()
    found = seen(args)
    figures = {
        f"{name}: {field.replace('_', ' ')}": spread([getattr(each, field) for each in rounds])
        for name, rounds in found.items()
        for field in Seen._fields
    }
    says = f"{USERS} users who pause for {THINK_S:g} s and send strokes; {CONNECTIONS} connections of raw bytes."
    print(write_record("serving-agreement", figures, {name: found[name] for name in found}, says))


if __name__ == "__main__":
    main()
