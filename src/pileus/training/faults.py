"""What commits a fault where and when a job asks for it. Trials alone ask; without faults nothing here does anything.

A fault is real as far as it can be: the process does get the signal, its sockets do stop to hear, its loss is not
finite. So what is tried is the code that works every day.
"""

from __future__ import annotations

import contextlib
import ctypes
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from pileus.data.batches import Microbatch
from pileus.data.transforms.mix import Pairs
from pileus.errors import PileusError, StoreError
from pileus.spec.job import AT_START, Fault, Job
from pileus.store import Abilities, Blob, Store
from pileus.training.checkpoint import CheckpointManifest
from pileus.training.seat import Seat

_SIGNALS: dict[str, tuple[Literal["worker", "controller"], signal.Signals]] = {
    "kill_worker": ("worker", signal.SIGKILL),
    "kill_controller": ("controller", signal.SIGKILL),
    "terminate_worker": ("worker", signal.SIGTERM),
    "terminate_controller": ("controller", signal.SIGTERM),
    "stop": ("worker", signal.SIGSTOP),
}
_EXIT_CODE = 3
_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27
_BPF_RETURN = 0x06
_MANIFEST = "/manifest.json"


class CommittedFault(PileusError):  # noqa: N818
    """A fault of kind 'raise' that the job asked for."""


class Faults:
    """Those of one member in one attempt."""

    def __init__(self, job: Job, seat: Seat) -> None:
        self._seat = seat
        self._own = [fault for fault in job.faults if (fault.rank, fault.attempt) == (seat.rank, job.attempt)]
        self._computed_s = 0.0

    def before_joining(self) -> None:
        for fault in self._own:
            if fault.step == AT_START:
                self._commit(fault)

    def before(self, step: int, computed_s: float = 0.0) -> None:
        """A global step. `computed_s`: seconds of computing so far."""
        for fault in self._own:
            if fault.kind == "slow" and fault.step < step <= fault.step + fault.steps:
                time.sleep((fault.factor - 1.0) * max(0.0, computed_s - self._computed_s))
            elif fault.step == step:
                self._commit(fault)
        self._computed_s = computed_s

    def spoiled(self, microbatch: Microbatch, step: int) -> Microbatch:
        """The microbatch itself, or one whose loss is not a number."""
        if not any(fault.kind == "nan" and fault.step == step for fault in self._own):
            return microbatch
        labels_N = microbatch.labels_N
        return microbatch._replace(pairs=Pairs(labels_N, np.full(len(labels_N), np.nan, np.float32)))

    def over(self, store: Store) -> Store:
        """The store itself, or one with the faults that befall it."""
        own = [fault for fault in self._own if fault.kind in ("kill_in_save", "store_error", "slow_store")]
        return _FaultyStore(store, own, self._seat) if own else store

    def _commit(self, fault: Fault) -> None:
        where = f"rank {fault.rank}, " + ("before it joined" if fault.step == AT_START else f"step {fault.step}")
        match fault.kind:
            case "raise":
                raise CommittedFault(f"fault asked for at {where}")
            case "exit":
                raise SystemExit(_EXIT_CODE)
            case "pause":
                time.sleep(fault.seconds)
            case "cut":
                _cut(fault.seconds)
            case kind if kind in _SIGNALS:
                self._seat.signal(*_SIGNALS[kind])


def _cut(seconds: float) -> None:
    """Have the system drop every packet that comes in on this process's TCP connections, as a cut wire does."""
    cut = [number for number in _descriptors() if _is_connected(number)]
    drop_all = ctypes.create_string_buffer(struct.pack("HBBI", _BPF_RETURN, 0, 0, 0))
    program = struct.pack("HL", 1, ctypes.addressof(drop_all))
    for number in cut:
        _set(number, _SO_ATTACH_FILTER, program)
    if seconds:
        mended = threading.Timer(seconds, _mend, (cut,))
        mended.daemon = True
        mended.start()


def _mend(cut: Sequence[int]) -> None:
    for number in cut:
        _set(number, _SO_DETACH_FILTER, bytes(4))


def _descriptors() -> list[int]:
    return [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]


def _is_connected(number: int) -> bool:
    with contextlib.suppress(OSError), _borrowed(number) as borrowed:
        borrowed.getpeername()
        return borrowed.family in (socket.AF_INET, socket.AF_INET6)
    return False


def _set(number: int, option: int, value: bytes) -> None:
    with contextlib.suppress(OSError), _borrowed(number) as borrowed:
        borrowed.setsockopt(socket.SOL_SOCKET, option, value)


@contextlib.contextmanager
def _borrowed(number: int) -> Iterator[socket.socket]:
    """A socket over a descriptor that stays open."""
    borrowed = socket.socket(fileno=number)
    try:
        yield borrowed
    finally:
        borrowed.detach()


class _FaultyStore:
    """A store that refuses or delays what is put, or whose writer is killed in the middle of a checkpoint."""

    def __init__(self, store: Store, faults: Sequence[Fault], seat: Seat) -> None:
        self._store = store
        self._faults = faults
        self._seat = seat

    @property
    def uri(self) -> str:
        return self._store.uri

    @property
    def abilities(self) -> Abilities:
        return self._store.abilities

    def get(self, key: str) -> Blob:
        return self._store.get(key)

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        return self._store.get_ranges(key, ranges)

    def put(self, key: str, content: bytes | memoryview, *, if_absent: bool = False) -> str:
        step = _step_of(content) if key.endswith(_MANIFEST) else None
        for fault in self._faults:
            if fault.kind == "slow_store":
                time.sleep(fault.seconds)
            elif step is None or step <= fault.step:
                continue
            elif fault.kind == "store_error":
                raise StoreError(f"{self.uri}/{key} cannot be written: fault asked for past step {fault.step}.")
            else:
                self._seat.signal("worker", signal.SIGKILL)
        return self._store.put(key, content, if_absent=if_absent)

    def swap(self, key: str, content: bytes, version: str) -> str:
        return self._store.swap(key, content, version)

    def list(self, prefix: str = "") -> list[str]:
        return self._store.list(prefix)

    def delete(self, key: str) -> None:
        self._store.delete(key)


def _step_of(manifest: bytes | memoryview) -> int:
    return msgspec.json.decode(manifest, type=CheckpointManifest).position.global_step
