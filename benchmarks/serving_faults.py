"""What happens to requests while the server loses a process, changes its model, restarts or is asked too much.

At 70 % of what users without a pause were given, an open loop asks on while a fault is made; each request's intended
time is kept, and each ends once: with its own answer, which is compared with the offline model's, or by a named cause.

    python benchmarks/serving_faults.py BUNDLE [--only kill-predictor swap] [--seconds 20] [--soak-s 600]

kill-predictor  SIGKILL of a process that computes        stop-predictor  SIGSTOP of one for ten seconds
kill-front      SIGKILL of a process with connections     swap            SIGHUP with another bundle in the place
broken-swap     SIGHUP with a bundle that cannot load     restart         SIGUSR2, one front after another
overload        three times the saturation for a minute   soak            70 % for ten minutes: what grows
start           from the command to ready; no torch
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import psutil
from record import spread, write_record
from serving_timeline import timelines_page

from pileus.bench.serving.bodies import Bodies, bodies_of, wrong_answers
from pileus.bench.serving.load import SATURATING, Arrivals, Sent, Task, Users
from pileus.bench.serving.sampling import Sample, Sampler, growth
from pileus.bench.serving.served import Server, served
from pileus.bench.serving.trial import send
from pileus.bundles import load, write_bundle
from pileus.bundles.load import read_verified
from pileus.bundles.manifest import MODEL_FILE, BundleDescription
from pileus.spec.preprocessing import Drawing
from pileus.store import open_store

SHARE, OVERLOAD = 0.7, 3.0
WARM_S, SATURATE_S, FAULT_AT_S, STOPPED_S, SENDER_START_S, SETTLE_S = 1.0, 4.0, 5.0, 10.0, 0.5, 2.0
STARTS = 5
FRONT, PREDICTOR = "pileus-front", "pileus-predict"
"""As the kernel shows them, by the beginnings of their names."""
Row = dict[str, Any]


class Bench(NamedTuple):
    place: str
    """A copy of the bundle, which faults may change."""
    bodies: Bodies
    options: tuple[str, ...]
    per_s: float
    """Of the open loop."""


def task_for(bench: Bench, server: Server, loaded: Users | Arrivals, seconds: float) -> Task:
    return Task(
        host=server.host,
        port=server.port,
        media_type=bench.bodies.media_type,
        bodies=bench.bodies.contents,
        load=loaded,
        warm_s=WARM_S,
        seconds=seconds,
        timeout_s=30.0,
        bin_s=0.25 if seconds < 120 else 5.0,
    )


def member(server: Server, name: str) -> psutil.Process:
    """One process of the server, by the beginning of its name."""
    children = psutil.Process(server.process.pid).children(recursive=True)
    found = [child for child in children if child.name().startswith(name)]
    if not found:
        raise SystemExit(f"the server has no process {name}...: {[child.name() for child in children]}")
    return found[0]


def kill_predictor(server: Server, bench: Bench) -> None:
    member(server, PREDICTOR).kill()


def kill_front(server: Server, bench: Bench) -> None:
    member(server, FRONT).kill()


def stop_predictor(server: Server, bench: Bench) -> None:
    """It may have been replaced when it is to go on."""
    stopped = member(server, PREDICTOR)
    stopped.suspend()
    time.sleep(STOPPED_S)
    if stopped.is_running():
        stopped.resume()


def swap(server: Server, bench: Bench) -> None:
    """Probabilities stay, the version that answers name must change."""
    change_version(bench.place)
    server.process.send_signal(signal.SIGHUP)


def change_version(bundle: str) -> None:
    """The same graph under another version."""
    store = open_store(bundle)
    manifest, files = read_verified(store)
    fields = {name: getattr(manifest, name) for name in BundleDescription.__struct_fields__}
    description = BundleDescription(**fields | {"metrics": {**manifest.metrics, "swapped": 1.0}})
    write_bundle(store, "", files[MODEL_FILE], description)


def broken_swap(server: Server, bench: Bench) -> None:
    model = Path(bench.place) / MODEL_FILE
    model.write_bytes(model.read_bytes()[:-100])
    server.process.send_signal(signal.SIGHUP)


def restart(server: Server, bench: Bench) -> None:
    server.process.send_signal(signal.SIGUSR2)


FAULTS: dict[str, Callable[[Server, Bench], None]] = {
    "kill-predictor": kill_predictor,
    "stop-predictor": stop_predictor,
    "kill-front": kill_front,
    "swap": swap,
    "broken-swap": broken_swap,
    "restart": restart,
}
ALL = (*FAULTS, "overload", "soak", "start")


def under_fault(bench: Bench, fault: Callable[[Server, Bench], None], seconds: float) -> Row:
    """The fault is made so long after counting began."""
    with served(bench.place, bench.options) as server, Sampler(server.process.pid) as sampler:
        with ThreadPoolExecutor(1) as pool:
            began = time.monotonic()
            sending = pool.submit(send, task_for(bench, server, Arrivals(per_s=bench.per_s), seconds))
            time.sleep(max(0.0, began + SENDER_START_S + WARM_S + FAULT_AT_S - time.monotonic()))
            at = time.monotonic()
            fault(server, bench)
            sent = sending.result()
        after = server.get("/metrics").decode()
    return told(sent, bench.bodies) | {
        "fault_at_s": at - sent.began,
        "fault_ended_s": at - sent.began + (STOPPED_S if fault is stop_predictor else 0.0),
        "versions": sorted(versions_named(sent)),
        "samples": samples_told(sampler.samples, sent),
        "metrics": [line for line in after.splitlines() if "_lost_total" in line or "_swaps_total" in line],
    }


def told(sent: Sent, bodies: Bodies) -> Row:
    """The ledger: every request once, well answered or failed by a cause."""
    assert sent.sent == sent.ok + sum(sent.failed.values())
    return {
        **msgspec.to_builtins(msgspec.structs.replace(sent, given=())),
        "goodput": sent.goodput,
        "kept_up": sent.kept_up,
        "num_failed": sum(sent.failed.values()),
        "wrong": wrong_answers(sent.given, bodies),
        "not_its_own": sent.unnamed + sent.stray,
    }


def versions_named(sent: Sent) -> set[str]:
    return {msgspec.json.decode(given.answer)["model"]["version"] for given in sent.given}


def samples_told(samples: list[Sample], sent: Sent) -> list[Row]:
    return [msgspec.to_builtins(sample) | {"at": sample.at - sent.began} for sample in samples]


def overloaded(bench: Bench, seconds: float) -> Row:
    """By the saturation just before and just after, for a machine with neighbours is not equally fast for minutes."""
    before = saturation_of(bench)
    with served(bench.place, bench.options) as server, Sampler(server.process.pid) as sampler:
        sent = send(task_for(bench, server, Arrivals(per_s=OVERLOAD * before), seconds))
    saturations = before, saturation_of(bench)
    return told(sent, bench.bodies) | {
        "samples": samples_told(sampler.samples, sent),
        "saturations": saturations,
        "goodput_by_saturation": sent.goodput / statistics.mean(saturations),
    }


def soaked(bench: Bench, seconds: float) -> Row:
    """Growth by regression, of what was seen after the first tenth; descriptors, as connections are, at both ends."""
    with served(bench.place, bench.options) as server, Sampler(server.process.pid, 1.0) as sampler:
        sent = send(task_for(bench, server, Arrivals(per_s=bench.per_s), seconds))
        time.sleep(SETTLE_S)
    seen = [each for each in sampler.samples if sent.began + 0.1 * seconds <= each.at <= sent.began + seconds]
    return told(sent, bench.bodies) | {
        "samples": samples_told(sampler.samples, sent),
        "rss_growth": growth(seen, lambda sample: sample.rss_bytes),
        "descriptors": [sampler.samples[0].descriptors, sampler.samples[-1].descriptors],
        "threads_growth": growth(seen, lambda sample: sample.threads),
    }


def started(bench: Bench) -> Row:
    ready_s, has_torch = [], False
    for _ in range(STARTS):
        with served(bench.place, bench.options) as server:
            ready_s.append(server.ready_s)
            root = psutil.Process(server.process.pid)
            members = [root, *root.children(recursive=True)]
            has_torch |= any("torch" in Path(f"/proc/{each.pid}/maps").read_text() for each in members)
    return {"ready_s": ready_s, "has_torch": has_torch}


@contextmanager
def copied(bundle: str) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        place = os.path.join(folder, "bundle")  # noqa: PTH118 - a text is asked for
        shutil.copytree(bundle, place)
        yield place


def saturation_of(bench: Bench) -> float:
    with served(bench.place, bench.options) as server:
        return send(task_for(bench, server, SATURATING, SATURATE_S)).goodput


def measured(name: str, bench: Bench, args: argparse.Namespace) -> Row:
    if name == "start":
        return started(bench)
    if name == "soak":
        return soaked(bench, args.soak_s)
    if name == "overload":
        return overloaded(bench, args.overload_s)
    return under_fault(bench, FAULTS[name], args.seconds)


def figures(rows: dict[str, Row]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, row in rows.items():
        if name == "start":
            found |= {"start to ready, s": spread(row["ready_s"]), "torch in a process": row["has_torch"]}
            continue
        failures = ", ".join(f"{cause}: {count:,}" for cause, count in row["failed"].items()) or "none"
        latency = row["latency"] or {"p99_ms": 0.0, "max_ms": 0.0}
        found[name] = (
            f"{row['sent']:,} asked, failed {failures}; wrong {row['wrong']}, not its own {row['not_its_own']}; "
            f"p99 {latency['p99_ms']:.1f} ms, greatest {latency['max_ms']:,.0f} ms"
        )
        if name in ("swap", "broken-swap"):
            found[f"{name}: versions that answers named"] = len(row["versions"])
        if name == "overload":
            refused = row["refused_after"]["p99_ms"] if row["refused_after"] else 0.0
            found["overload: goodput by saturation"] = row["goodput_by_saturation"]
            found["overload: 429 within, from sending, p99 ms"] = refused
        if name == "soak":
            found |= {f"soak: {part} growth over the run": row[f"{part}_growth"] for part in ("rss", "threads")}
            found["soak: descriptors before, after"] = "{}, {}".format(*row["descriptors"])
    return found


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", help="in a folder of this machine")
    parser.add_argument("--only", nargs="+", choices=ALL, default=list(ALL))
    parser.add_argument("--body", choices=("raw", "png", "strokes"), default="raw")
    parser.add_argument("--seconds", type=float, default=20.0, help="counted around a fault, made after five")
    parser.add_argument("--overload-s", type=float, default=60.0)
    parser.add_argument("--soak-s", type=float, default=600.0)
    parser.add_argument("--processes", type=int, help="of `pileus serve`")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    options = () if args.processes is None else ("--processes", str(args.processes))
    bundle = load(args.bundle)
    bodies = bodies_of(args.body, bundle, None)
    rows: dict[str, Row] = {}
    with copied(args.bundle) as place:
        saturation = statistics.median(saturation_of(Bench(place, bodies, options, 0.0)) for _ in range(3))
    print(f"saturation {saturation:,.0f}/s", file=sys.stderr, flush=True)
    for name in args.only:
        with copied(args.bundle) as place:
            rows[name] = measured(name, Bench(place, bodies, options, SHARE * saturation), args)
        print(name, figures({name: rows[name]}), file=sys.stderr, flush=True)
    says = (
        f"{args.body} bodies by an open loop, {SHARE:g} of a saturation of {saturation:,.0f}/s; sender and server "
        "share the cores. `report.html` shows what happened around each fault."
    )
    found = {"saturation, answers a second": saturation, **figures(rows)}
    words = ["serving", "soak" if args.only == ["soak"] else "faults"]
    words += [] if isinstance(bundle.manifest.preprocessing, Drawing) else ["pictures"]
    words += [] if args.body == "raw" else [args.body]
    folder = write_record("-".join(words), found, rows, says)
    (folder / "report.html").write_text(timelines_page(rows), encoding="utf-8")
    print(folder)


if __name__ == "__main__":
    main()
