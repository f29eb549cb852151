"""A commit survives its way through memory; what is no commit is told."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from pileus.errors import Damaged, StoreError
from pileus.spec.job import Checkpointed, Report
from pileus.spec.run import Checkpoints
from pileus.store import open_store
from pileus.store.memory import MemoryStore
from pileus.training.checkpoint import Position, load_checkpoint
from pileus.training.exchange.sockets import Listener
from pileus.training.ledger import Page, PageHead, read_page, written
from pileus.training.saving import Commit, Saving, packed, unpacked
from pileus.training.seat import Gathering
from pileus.training.taken import Pending


class Bench:
    """A seat that only keeps and hears."""

    rank, local_rank, cores, stop_asked = 0, 0, 1, False

    def __init__(self) -> None:
        self.content: bytes | None = None
        self.reports: list[Report] = []
        self.may_keep = threading.Event()
        self.may_keep.set()

    def join(self, num_workers: int, session: str, deadline_s: float) -> Gathering:
        raise AssertionError

    def listen(self) -> Listener:
        raise AssertionError

    def serve(self, address: str, deadline_s: float) -> None:
        raise AssertionError

    def report(self, report: Report) -> None:
        self.reports.append(report)

    def at(self, epoch: int, step: int) -> None:
        raise AssertionError

    def keep(self, parts: Sequence[memoryview]) -> None:
        assert self.may_keep.wait(20)
        self.content = b"".join(parts)

    def kept(self) -> bytes | None:
        return self.content

    def signal(self, whom: str, number: int) -> None:
        raise AssertionError

    def die(self, whom: str) -> NoReturn:
        raise AssertionError


def commit_of(tensors: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]) -> Commit:
    pending = Pending(np.arange(5, dtype=np.uint32), np.arange(2, dtype=np.uint32))
    return Commit(tensors, Position(epoch=1, step=2, global_step=9, samples=40), "ledger/x.page", 1, pending)


def test_a_commit_comes_back_as_it_was() -> None:
    tensors = {"weights/a": np.arange(6, dtype=np.float32).reshape(2, 3), "empty": np.empty(0, np.float32)}
    commit = commit_of(tensors)
    back = unpacked(b"".join(packed(commit)))
    assert back._replace(tensors={}, pending=Pending()) == commit._replace(tensors={}, pending=Pending())
    assert {name: array.tolist() for name, array in back.tensors.items()} == {
        "weights/a": [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]],
        "empty": [],
    }
    assert [each.tolist() for each in back.pending] == [[0, 1, 2, 3, 4], [0, 1]]


@pytest.mark.parametrize("length", [0, 3, 20, -1])
def test_what_was_cut_short_is_told(length: int) -> None:
    whole = b"".join(packed(commit_of({"a": np.ones(4, np.float32)})))
    with pytest.raises(Damaged, match="no commit"):
        unpacked(whole[:length])


def test_a_snapshot_does_not_move_with_the_weights(tmp_path: Path) -> None:
    seat, weights = Bench(), np.zeros(4, np.float32)
    seat.may_keep.clear()
    saving = Saving(open_store(str(tmp_path)), seat, Checkpoints(keep=2))
    saving.commit(commit_of({"weights/a": weights}))
    weights += 1.0
    assert not saving.commit_due(0.0)
    seat.may_keep.set()
    saving.wait()
    assert seat.content is not None
    assert unpacked(seat.content).tensors["weights/a"].tolist() == [0.0] * 4
    saving.close()


def test_a_page_is_there_before_what_names_it() -> None:
    seat, store = Bench(), MemoryStore()
    saving = Saving(store, seat, Checkpoints(keep=2))
    page = written(Page(PageHead(epoch=0, first_step=0, last_step=1, samples=1, previous=None), np.ones(1, np.uint32)))
    saving.page(page)
    saving.checkpoint(commit_of({"weights/a": np.ones(3, np.float32)})._replace(ledger=page.key), "f", None)
    saving.wait()
    (report,) = seat.reports
    assert isinstance(report, Checkpointed)
    checkpoint, tensors = load_checkpoint(store, report.key)
    assert checkpoint.manifest.ledger is not None
    assert read_page(store, checkpoint.manifest.ledger).positions.tolist() == [1]
    assert tensors["weights/a"].tolist() == [1.0] * 3
    saving.close()


def test_what_a_write_raised_is_told_by_the_next_wait() -> None:
    class Full(MemoryStore):
        def put(self, key: str, content: bytes | memoryview, *, if_absent: bool = False) -> str:
            raise StoreError("the disk is full")

    saving = Saving(Full(), Bench(), Checkpoints(keep=2))
    saving.checkpoint(commit_of({"weights/a": np.ones(3, np.float32)}), "f", None)
    with pytest.raises(StoreError, match="full"):
        saving.wait()
    saving.close()
