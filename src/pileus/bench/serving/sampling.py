"""What a server's processes take of the machine, looked at from outside while others load it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import NamedTuple

import numpy as np
import psutil

from pileus.spec.values import Spec

EVERY_S = 0.25


class Sample(Spec, frozen=True, kw_only=True):
    """All processes of a server at one moment."""

    at: float
    """Seconds of CLOCK_MONOTONIC."""
    cpu_s: float
    """That they, and those of them that have ended, have used so far."""
    rss_bytes: int
    """Pages that processes share count in each."""
    descriptors: int
    threads: int
    processes: int


class Used(NamedTuple):
    """Of a span of time."""

    cores: float
    """Processor seconds a second."""
    rss_bytes: int
    """The most."""


class Sampler:
    """Looks every quarter of a second while its block runs."""

    def __init__(self, pid: int, every_s: float = EVERY_S) -> None:
        self.samples: list[Sample] = []
        self._root = psutil.Process(pid)
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pileus-sampler")

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def used(self, began: float, seconds: float) -> Used | None:
        """Between two moments; None where nothing was seen around them."""
        return used(self.samples, began, seconds)

    def _run(self) -> None:
        while True:
            sample = look(self._root)
            if sample is not None:
                self.samples.append(sample)
            if self._stop.wait(self._every_s):
                return


def look(root: psutil.Process) -> Sample | None:
    """None where the server has ended. A process that ends meanwhile is left out."""
    cpu_s, rss_bytes, descriptors, threads, processes = 0.0, 0, 0, 0, 0
    try:
        members = [root, *root.children(recursive=True)]
    except psutil.Error:
        return None
    for member in members:
        try:
            with member.oneshot():
                found = sum(member.cpu_times()[:4]), member.memory_info().rss, member.num_fds(), member.num_threads()
        except psutil.Error:
            continue
        cpu_s, rss_bytes = cpu_s + found[0], rss_bytes + found[1]
        descriptors, threads, processes = descriptors + found[2], threads + found[3], processes + 1
    if not processes:
        return None
    return Sample(
        at=time.monotonic(),
        cpu_s=cpu_s,
        rss_bytes=rss_bytes,
        descriptors=descriptors,
        threads=threads,
        processes=processes,
    )


def used(samples: list[Sample], began: float, seconds: float) -> Used | None:
    """Processor time at the two ends is read between the samples beside them."""
    if len(samples) < 2:
        return None
    at_N, cpu_N = np.array([each.at for each in samples]), np.array([each.cpu_s for each in samples])
    first, last = np.interp((began, began + seconds), at_N, cpu_N)
    within = [each for each in samples if began - EVERY_S <= each.at <= began + seconds + EVERY_S]
    most = max((each.rss_bytes for each in within), default=samples[-1].rss_bytes)
    return Used(float(last - first) / seconds, most)


def growth(samples: Sequence[Sample], read: Callable[[Sample], float]) -> float:
    """Of a figure over the time of the samples, as a share of its mean, by a straight line; 0 of fewer than three."""
    if len(samples) < 3:
        return 0.0
    at_N = np.array([each.at for each in samples])
    value_N = np.array([read(each) for each in samples], np.float64)
    slope = np.polyfit(at_N - at_N[0], value_N, 1)[0]
    return float(slope * (at_N[-1] - at_N[0]) / value_N.mean())
