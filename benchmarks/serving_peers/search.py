"""The greatest rate that a server bears with p99 below a bound: a search over open loops in bounded steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from pileus.bench.serving.bodies import TOLERANCE, Bodies
from pileus.bench.serving.load import SATURATING, Arrivals, Given, Sent, Task, Users
from pileus.bench.serving.sampling import Sampler
from pileus.bench.serving.served import Server
from pileus.bench.serving.trial import send

BOUND_MS = 50.0
STEPS = 6
FEW_FAILED = 0.001


class Way(NamedTuple):
    """How one server is asked, and for how long."""

    server: Server
    path: str
    bodies: Bodies
    warm_s: float
    seconds: float
    seed: int


def asked(way: Way, load: Users | Arrivals) -> tuple[Sent, dict[str, Any]]:
    """What came of a load, and the row that tells it."""
    task = Task(
        host=way.server.host,
        port=way.server.port,
        path=way.path,
        media_type=way.bodies.media_type,
        bodies=way.bodies.contents,
        load=load,
        warm_s=way.warm_s,
        seconds=way.seconds,
        seed=way.seed,
    )
    with Sampler(way.server.process.pid) as sampler:
        sent = send(task)
    used = sampler.used(sent.began, sent.seconds)
    wrong = sum(each.times for each in sent.given if not is_right(each, way.bodies))
    return sent, {
        "asked_per_s": load.per_s if isinstance(load, Arrivals) else None,
        "goodput": sent.goodput,
        "latency": None if sent.latency is None else msgspec.to_builtins(sent.latency),
        "failed": sent.failed,
        "sent": sent.sent,
        "wrong": wrong,
        "late": sent.late,
        "kept_up": sent.kept_up,
        "sender_cores": sent.cpu_s / sent.seconds,
        "server_cores": None if used is None else used.cores,
        "server_rss_bytes": None if used is None else used.rss_bytes,
    }


def is_right(given: Given, bodies: Bodies) -> bool:
    """A label and probabilities, as such or in the first of `items`, are the offline model's. A rejected one counts."""
    answer = msgspec.json.decode(given.answer)
    item = answer["items"][0] if "items" in answer else answer
    expected = bodies.expected[given.body][0]
    best = max(expected.probabilities, key=lambda name: expected.probabilities[name])
    return item["label"] in (best, expected.label) and all(
        abs(item["probabilities"][name] - value) <= TOLERANCE for name, value in expected.probabilities.items()
    )


def is_borne(sent: Sent) -> bool:
    """A sender that does not keep up is late, and lateness counts: what it cannot measure is not borne."""
    failed = sum(sent.failed.values())
    few = failed <= FEW_FAILED * sent.sent
    return few and sent.latency is not None and sent.latency.p99_ms < BOUND_MS


def greatest_rate(way: Way, say: Callable[[str], None]) -> tuple[float, list[dict[str, Any]]]:
    """Answers a second, 0 where not the least rate was borne; and a row of every step.

    Users without a pause say about where to look; then the interval is halved, from a tenth to one and a half of it.
    """
    first, row = asked(way, SATURATING)
    rows = [row]
    low, high, best = 0.1 * first.goodput, 1.5 * first.goodput, 0.0
    rate = 0.8 * first.goodput
    for step in range(STEPS if first.goodput else 0):
        sent, row = asked(way._replace(seed=way.seed + step + 1), Arrivals(per_s=rate))
        borne = is_borne(sent)
        rows.append(row | {"borne": borne})
        p99 = "none" if sent.latency is None else f"{sent.latency.p99_ms:.1f} ms"
        say(f"    {rate:8.0f}/s: {sent.goodput:8.0f}/s, p99 {p99}{'' if borne else ', not borne'}")
        if borne:
            low, best = rate, max(best, sent.goodput)
        else:
            high = rate
        rate = (low + high) / 2
    return best, rows
