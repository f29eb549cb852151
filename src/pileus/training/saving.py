"""Rank 0's saving: a snapshot is copied while the workers wait, and written by a thread while they go on.

To disk go checkpoints, which outlive everything; to memory that outlives a worker go commits, more often, so that a
gang that is started again loses seconds and not epochs.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import msgspec
import numpy as np

from pileus.errors import Damaged
from pileus.spec.job import Checkpointed
from pileus.spec.run import Checkpoints
from pileus.spec.values import Spec
from pileus.store import Store
from pileus.training.checkpoint import Position, Tensors, prune, write_checkpoint
from pileus.training.ledger import WrittenPage, put_page
from pileus.training.seat import Seat
from pileus.training.taken import Pending

_LENGTH = struct.Struct("<I")
_COST_PART = 0.02
"""Commits to memory take at most this part of the time."""


class Commit(NamedTuple):
    """What is kept in memory: a state, and where the run stood."""

    tensors: Tensors
    position: Position
    ledger: str | None
    page_start: int
    pending: Pending


class _Head(Spec, frozen=True, kw_only=True):
    position: Position
    ledger: str | None
    page_start: int
    shapes: dict[str, tuple[int, ...]]
    num_positions: int
    num_marks: int


def packed(commit: Commit) -> list[memoryview]:
    head = _Head(
        position=commit.position,
        ledger=commit.ledger,
        page_start=commit.page_start,
        shapes={name: array.shape for name, array in commit.tensors.items()},
        num_positions=len(commit.pending.positions),
        num_marks=len(commit.pending.marks),
    )
    told = msgspec.json.encode(head)
    arrays = [*commit.pending, *commit.tensors.values()]
    return [
        memoryview(_LENGTH.pack(len(told)) + told),
        *(np.ascontiguousarray(array).data.cast("B") for array in arrays if array.size),
    ]


def unpacked(content: bytes) -> Commit:
    """Damaged where it is no commit."""
    try:
        (length,) = _LENGTH.unpack_from(content)
        at = _LENGTH.size + length
        head = msgspec.json.decode(content[_LENGTH.size : at], type=_Head)
        counts = (head.num_positions, head.num_marks)
        pending = Pending(*np.split(np.frombuffer(content, np.uint32, sum(counts), at), [counts[0]]))
        at += 4 * sum(counts)
        tensors: Tensors = {}
        for name, shape in head.shapes.items():
            count = int(np.prod(shape))
            tensors[name] = np.frombuffer(content, np.float32, count, at).reshape(shape)
            at += 4 * count
    except (struct.error, ValueError, msgspec.MsgspecError) as error:
        raise Damaged(f"what was kept in memory is no commit: {error}.") from error
    return Commit(tensors, head.position, head.ledger, head.page_start, pending)


class Saving:
    """Used by rank 0's one thread; has one of its own. At most one snapshot is under way."""

    def __init__(self, store: Store, seat: Seat, checkpoints: Checkpoints) -> None:
        self._store = store
        self._seat = seat
        self._checkpoints = checkpoints
        self._thread = ThreadPoolExecutor(1, "saving")
        self._under_way: Future[None] | None = None
        self._copies: Tensors = {}
        self._pages: list[WrittenPage] = []
        self._committed_at = self._saved_at = time.monotonic()
        self._cost_s = 0.0

    def commit_due(self, every_s: float | None) -> bool:
        if every_s is None or (self._under_way is not None and not self._under_way.done()):
            return False
        return time.monotonic() - self._committed_at >= max(every_s, self._cost_s / _COST_PART)

    def checkpoint_due(self, every_s: float | None) -> bool:
        return every_s is not None and time.monotonic() - self._saved_at >= every_s

    def commit(self, commit: Commit) -> None:
        started = time.monotonic()
        self.wait()
        copied = commit._replace(tensors=self._snapshot(commit.tensors))
        copied_s = time.monotonic() - started
        pages = self._taken_pages()

        def keep() -> None:
            begun = time.monotonic()
            self._put(pages)
            self._seat.keep(packed(copied))
            self._cost_s = copied_s + time.monotonic() - begun

        self._begin(keep)
        self._committed_at = time.monotonic()

    def page(self, page: WrittenPage) -> None:
        """Written before anything that names it."""
        self._pages.append(page)

    def checkpoint(self, commit: Commit, fingerprint: str, validation_loss: float | None) -> None:
        """StoreError of the one before it comes here."""
        self.wait()
        tensors, position, ledger = self._snapshot(commit.tensors), commit.position, commit.ledger
        pages = self._taken_pages()

        def write() -> None:
            self._put(pages)
            key = write_checkpoint(self._store, tensors, position, fingerprint, ledger, validation_loss)
            prune(self._store, key, self._checkpoints.keep, keep_best=self._checkpoints.keep_best)
            self._seat.report(Checkpointed(key=key, epoch=position.epoch, step=position.global_step))

        self._begin(write)
        self._saved_at = time.monotonic()

    def wait(self) -> None:
        """Until what is under way is written; raises what it raised."""
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            under_way.result()

    def close(self) -> None:
        """Without a word of what is under way, which is finished."""
        self._thread.shutdown()

    def _taken_pages(self) -> list[WrittenPage]:
        pages, self._pages = self._pages, []
        return pages

    def _put(self, pages: list[WrittenPage]) -> None:
        for page in pages:
            put_page(self._store, page)

    def _begin(self, call: Callable[[], None]) -> None:
        self._under_way = self._thread.submit(call)

    def _snapshot(self, tensors: Tensors) -> Tensors:
        """Copies; the memory is used again, so one is under way at most."""
        if {name: array.shape for name, array in tensors.items()} != {n: a.shape for n, a in self._copies.items()}:
            self._copies = {name: np.empty_like(array) for name, array in tensors.items()}
        for name, array in tensors.items():
            self._copies[name][...] = array
        return self._copies
