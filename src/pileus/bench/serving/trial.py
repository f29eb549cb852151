"""One trial: a fresh server, a sender in a process of its own, and what both took of the machine."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from pileus.bench.process import run_process
from pileus.bench.serving.bodies import Bodies, wrong_answers
from pileus.bench.serving.design import WARM_S, Cell, Trial
from pileus.bench.serving.load import Arrivals, Sent, Task, Users
from pileus.bench.serving.sampling import Sampler
from pileus.bench.serving.served import Server, batch_images, served
from pileus.errors import WorkFailed
from pileus.spec.values import Spec

_SLACK_S = 30.0
"""For the sender, beside its warm-up, its counted seconds and the time that an answer may take."""


class Outcome(Spec, frozen=True, kw_only=True):
    sent: Sent
    """Its `given` is empty: `wrong` says what came of them."""
    asked_per_s: float | None
    """The rate of an open loop."""
    wrong: int
    """Answers that were not the offline model's."""
    ready_s: float
    """From the server's start until it was warm."""
    server_cores: float | None
    """Processor seconds a second, of all its processes; None where nothing was seen."""
    server_rss_bytes: int | None
    batch_images: float | None
    """Mean of a batch, warm-up included; None where the server does not tell."""


class Done(Spec, frozen=True, kw_only=True):
    """A trial that has ended: a line of results.jsonl."""

    trial: Trial
    outcome: Outcome | None
    """None where it failed."""
    error: str = ""


class Setting(NamedTuple):
    """What a trial is made in."""

    place: str
    options: tuple[str, ...]
    """Of `pileus serve`."""
    bodies: Bodies
    cell: Cell
    load: Users | Arrivals
    seconds: float
    seed: int


def run_trial(setting: Setting) -> Outcome:
    """WorkFailed where the server or the sender fails."""
    with served(setting.place, setting.options) as server, Sampler(server.process.pid) as sampler:
        before = batch_images(server.get("/metrics"))
        sent = send(task_for(server, setting))
        after = batch_images(server.get("/metrics"))
    used = sampler.used(sent.began, sent.seconds)
    images, batches = after[0] - before[0], after[1] - before[1]
    return Outcome(
        sent=msgspec.structs.replace(sent, given=()),
        asked_per_s=setting.load.per_s if isinstance(setting.load, Arrivals) else None,
        wrong=wrong_answers(sent.given, setting.bodies) + sent.unnamed + sent.stray,
        ready_s=server.ready_s,
        server_cores=None if used is None else used.cores,
        server_rss_bytes=None if used is None else used.rss_bytes,
        batch_images=images / batches if batches else None,
    )


def task_for(server: Server, setting: Setting) -> Task:
    return Task(
        host=server.host,
        port=server.port,
        media_type=setting.bodies.media_type,
        bodies=setting.bodies.contents,
        load=setting.load,
        warm_s=WARM_S,
        seconds=setting.seconds,
        seed=setting.seed,
    )


def send(task: Task) -> Sent:
    """By a process of its own. WorkFailed."""
    deadline_s = task.warm_s + task.seconds + 2 * task.timeout_s + _SLACK_S
    sent = run_process("pileus.bench.serving.sender", task, Sent, deadline_s)
    if isinstance(sent, str):
        raise WorkFailed(f"the sender failed: {sent}")
    return sent
