"""The same ONNX file served by Pileus and by others, each at its best setting: who bears the greatest rate.

784 raw bytes of a drawn digit in, a label and all probabilities out as JSON; each answer is compared with the offline
model's. Every setting in `serving_peers/settings.py` is tried once by users who never pause; the fastest of each server
goes into rounds of drawn order, each a fresh group of processes, in which the greatest rate with p99 below 50 ms is
searched for by open loops whose latencies count from the intended time. Sender and server share the machine.

    python benchmarks/serving_against_peers.py BUNDLE [--rounds 3] [--peers Mosec LitServe] [--seconds 4]

The peers' environment is made in serving_peers/.venv; `--peers-python` takes another.
"""

from __future__ import annotations

import argparse
import random
import sys
from typing import Any

from peers import peers_environment
from record import spread, write_record
from serving_peers.contenders import BENCHMARKS, Bench, Contender, running, versions
from serving_peers.search import Way, asked, greatest_rate
from serving_peers.settings import PEERS, PILEUS, Peer
from serving_peers.tables import best_and_median, markdown, ratios

from pileus.bench.serving.bodies import Bodies, bodies_of
from pileus.bench.serving.load import SATURATING
from pileus.bundles import load
from pileus.errors import WorkFailed

PACKAGE = BENCHMARKS / "serving_peers"
WARM_S, TRY_S = 1.0, 3.0
DISTRIBUTIONS = ["bentoml", "fastapi", "flask", "gunicorn", "litserve", "mosec", "onnxruntime", "ray", "uvicorn"]
Result = dict[str, Any]


def tried(bench: Bench, bodies: Bodies, peers: list[Peer]) -> list[Result]:
    """Every setting once, by users who never pause. One that fails is a row that says so."""
    rows = []
    for peer in peers:
        for settings in peer.tried:
            contender = Contender(peer, settings)
            row: Result = {"peer": peer.name, "settings": settings}
            try:
                with running(bench, contender) as server:
                    way = Way(server, peer.path, bodies, WARM_S, TRY_S, 0)
                    row |= asked(way, SATURATING)[1]
                say(f"{row['goodput']:8.0f}/s  {contender.label}")
            except WorkFailed as error:
                row |= {"goodput": 0.0, "error": str(error)}
                say(f"  failed  {contender.label}: {error}")
            rows.append(row)
    return rows


def best_settings(peers: list[Peer], rows: list[Result]) -> list[Contender]:
    chosen = []
    for peer in peers:
        mine = [row for row in rows if row["peer"] == peer.name and row["goodput"]]
        if mine:
            chosen.append(Contender(peer, max(mine, key=lambda row: float(row["goodput"]))["settings"]))
        else:
            say(f"{peer.name} answered by no setting; it is left out.")
    return chosen


def in_rounds(bench: Bench, bodies: Bodies, contenders: list[Contender], args: argparse.Namespace) -> list[Result]:
    """Each once in every round."""
    results = []
    for turn in range(args.rounds):
        for contender in random.sample(contenders, len(contenders)):
            say(f"round {turn + 1}: {contender.label}")
            with running(bench, contender) as server:
                way = Way(server, contender.peer.path, bodies, WARM_S, args.seconds, 100 * turn)
                rate, steps = greatest_rate(way, say)
            say(f"  bears {rate:,.0f}/s")
            found = {"peer": contender.peer.name, "settings": contender.settings, "ready_s": server.ready_s}
            results.append(found | {"round": turn, "borne_per_s": rate, "steps": steps})
    return results


def figures(rates: dict[str, list[float]], results: list[Result]) -> dict[str, Any]:
    found: dict[str, Any] = {f"{name}, answers a second at p99 < 50 ms": spread(many) for name, many in rates.items()}
    found |= {f"Pileus / {name}": spread(many) for name in rates if name != PILEUS and (many := ratios(rates, name))}
    if (two := best_and_median(rates)) is not None and all(two):
        ours = spread(rates[PILEUS])["median"]
        found |= {"Pileus / best peer": ours / two[0], "Pileus / median peer": ours / two[1]}
    return found | {"wrong answers": sum(step["wrong"] for result in results for step in result["steps"])}


def last_borne(results: list[Result]) -> dict[str, Result]:
    """Of each server the step with the greatest rate that it bore."""
    steps = {
        name: [step for result in results if result["peer"] == name for step in result["steps"] if step.get("borne")]
        for name in {result["peer"] for result in results}
    }
    return {name: max(mine, key=lambda step: float(step["goodput"])) for name, mine in steps.items() if mine}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", help="a bundle of drawings, 28 x 28 grey, in a folder")
    parser.add_argument("--rounds", type=int, default=3)
    names = [peer.name for peer in PEERS if peer.name != PILEUS]
    parser.add_argument("--peers", nargs="*", choices=names, default=names)
    parser.add_argument("--seconds", type=float, default=4.0, help="of a step of the search")
    parser.add_argument("--peers-python", help="of an environment with serving_peers/requirements.txt")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    bodies = bodies_of("raw", load(args.bundle), None)
    python = args.peers_python or peers_environment(PACKAGE)
    bench = Bench(args.bundle, python, bodies.contents[0])
    peers = [peer for peer in PEERS if peer.name in {PILEUS, *args.peers}]
    rows = tried(bench, bodies, peers)
    contenders = best_settings(peers, rows)
    results = in_rounds(bench, bodies, contenders, args)
    rates: dict[str, list[float]] = {}
    for result in results:
        rates.setdefault(result["peer"], []).append(result["borne_per_s"])
    table = markdown(rates, {each.peer.name: each.settings for each in contenders}, last_borne(results))
    says = (
        "The greatest rate of an open loop with p99 below 50 ms from the intended time and at most 0.1 % failed. "
        f"Sender and server share the cores. Each server at the best of its settings, {len(rows)} tried in all."
    )
    raw = {"tried": rows, "rounds": results, "versions": versions(python, DISTRIBUTIONS)}
    folder = write_record("serving-peers", figures(rates, results), raw, f"{says}\n\n{table}")
    print(table, folder, sep="\n\n")


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
