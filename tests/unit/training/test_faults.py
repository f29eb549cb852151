"""A fault happens at its coordinate, once, and nowhere else."""

from __future__ import annotations

import math
import signal
import socket
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from pileus.data.batches import Microbatch
from pileus.errors import Diverged, SpecError, StoreError
from pileus.models.registry import build
from pileus.recipes.load import load_recipe
from pileus.spec.job import AT_START, Fault, Job, Report
from pileus.spec.resolve import resolve
from pileus.store.memory import MemoryStore
from pileus.training.checkpoint import Position, list_checkpoints, write_checkpoint
from pileus.training.exchange.sockets import Listener
from pileus.training.faults import CommittedFault, Faults
from pileus.training.gradient import NUM_TOTALS, Lane
from pileus.training.layout import Layout, aligned_zeros, gather
from pileus.training.seat import Gathering


class NotingSeat:
    """A seat that nothing sits on: it notes the signals."""

    rank = 1
    local_rank = 1
    cores = 1
    stop_asked = False

    def __init__(self) -> None:
        self.signals: list[tuple[str, signal.Signals]] = []

    def join(self, num_workers: int, session: str, deadline_s: float) -> Gathering:
        raise NotImplementedError

    def listen(self) -> Listener:
        raise NotImplementedError

    def serve(self, address: str, deadline_s: float) -> None:
        raise NotImplementedError

    def report(self, report: Report) -> None:
        raise NotImplementedError

    def at(self, epoch: int, step: int) -> None:
        raise NotImplementedError

    def keep(self, parts: Sequence[memoryview]) -> None:
        raise NotImplementedError

    def kept(self) -> bytes | None:
        raise NotImplementedError

    def signal(self, whom: str, number: signal.Signals) -> None:
        self.signals.append((whom, number))


def faults_of(seat: NotingSeat, *faults: Fault, attempt: int = 1) -> Faults:
    spec = resolve(load_recipe("digits_cnn"), [])
    return Faults(
        Job(run_uri="memory:x", records_uri="memory:y", spec=spec, attempt=attempt, session="word", faults=faults), seat
    )


@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        ("kill_worker", ("worker", signal.SIGKILL)),
        ("kill_controller", ("controller", signal.SIGKILL)),
        ("terminate_worker", ("worker", signal.SIGTERM)),
        ("terminate_controller", ("controller", signal.SIGTERM)),
        ("stop", ("worker", signal.SIGSTOP)),
    ],
)
def test_a_signal_is_sent_at_its_rank_step_and_attempt_alone(kind: Any, sent: tuple[str, signal.Signals]) -> None:
    seat = NotingSeat()
    others = [Fault(kind=kind, rank=0, step=3), Fault(kind=kind, rank=1, step=3, attempt=2)]
    faults = faults_of(seat, Fault(kind=kind, rank=1, step=3), *others)
    faults.before_joining()
    for step in (0, 1, 2):
        faults.before(step)
    assert seat.signals == []
    faults.before(3)
    assert seat.signals == [sent]
    faults.before(4)
    assert seat.signals == [sent]


def test_a_worker_ends_by_an_exception_or_without_a_word() -> None:
    with pytest.raises(CommittedFault, match="rank 1, step 5"):
        faults_of(NotingSeat(), Fault(kind="raise", rank=1, step=5)).before(5)
    with pytest.raises(SystemExit, match="3"):
        faults_of(NotingSeat(), Fault(kind="exit", rank=1, step=5)).before(5)


def test_a_fault_may_come_before_the_worker_has_joined() -> None:
    with pytest.raises(CommittedFault, match="rank 1, before it joined"):
        faults_of(NotingSeat(), Fault(kind="raise", rank=1, step=AT_START)).before_joining()


def test_slow_and_paused_workers_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("pileus.training.faults.time.sleep", waited.append)
    slow = Fault(kind="slow", rank=1, step=2, steps=2, factor=3.0)
    faults = faults_of(NotingSeat(), slow, Fault(kind="pause", rank=1, step=6, seconds=0.5))
    for step in range(8):
        faults.before(step, computed_s=float(step))
    assert waited == [2.0, 2.0, 0.5]


def test_the_loss_of_a_spoiled_microbatch_stops_training_by_name() -> None:
    network = build("digits_cnn", (8, 8, 1), 4, 0)
    layout = Layout.of(network)
    lane = Lane(network, layout, gather(network, layout), 0.0)
    microbatch = Microbatch(np.zeros((4, 8, 8, 1), np.uint8), np.arange(4))
    into = aligned_zeros(layout.num_summed + NUM_TOTALS)
    faults = faults_of(NotingSeat(), Fault(kind="nan", rank=1, step=5))
    lane.gradient(faults.spoiled(microbatch, 4), (0, 4, 2), into)
    assert math.isfinite(float(torch.from_numpy(into).sum()))
    with pytest.raises(Diverged, match=r"not finite at step 5, microbatch 2"):
        lane.gradient(faults.spoiled(microbatch, 5), (0, 5, 2), into)


def test_a_cut_wire_brings_nothing_until_it_is_mended() -> None:
    """A listening socket and a pipe are left alone."""
    with socket.create_server(("127.0.0.1", 0)) as ear, socket.create_connection(ear.getsockname()) as caller:
        called, _ = ear.accept()
        with called:
            faults_of(NotingSeat(), Fault(kind="cut", rank=1, step=0, seconds=0.3)).before(0)
            called.settimeout(0.1)
            caller.sendall(b"word")
            with pytest.raises(TimeoutError):
                called.recv(4)
            called.settimeout(20.0)
            assert called.recv(4) == b"word"


def saved(store: MemoryStore, faults: Faults, step: int) -> None:
    tensors = {"weights/a": np.zeros(1, np.float32)}
    write_checkpoint(faults.over(store), tensors, Position(epoch=step, global_step=step), "", None)


def test_a_writer_is_killed_between_content_and_manifest() -> None:
    store, seat = MemoryStore("killed"), NotingSeat()

    def killed(whom: str, number: signal.Signals) -> None:
        raise KeyboardInterrupt

    seat.signal = killed  # type: ignore[method-assign]
    faults = faults_of(seat, Fault(kind="kill_in_save", rank=1, step=5))
    saved(store, faults, 5)
    with pytest.raises(KeyboardInterrupt):
        saved(store, faults, 6)
    assert len(list_checkpoints(store)) == 1
    assert len(store.list("checkpoints/")) == 3


def test_a_store_refuses_checkpoints_past_a_step() -> None:
    store = MemoryStore("refusing")
    faults = faults_of(NotingSeat(), Fault(kind="store_error", rank=1, step=5))
    saved(store, faults, 5)
    with pytest.raises(StoreError, match="fault asked for past step 5"):
        saved(store, faults, 6)


def test_without_faults_of_its_own_a_worker_uses_the_store_itself() -> None:
    store = MemoryStore("plain")
    assert faults_of(NotingSeat(), Fault(kind="store_error", rank=0, step=5)).over(store) is store


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"kind": "nan", "step": AT_START}, "before the first step"),
        ({"kind": "raise", "step": 0, "seconds": 1.0}, "seconds belong to"),
        ({"kind": "raise", "step": 0, "factor": 2.0}, "belong to slow"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(fault: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError, match=told):
        Fault(rank=0, **fault)
