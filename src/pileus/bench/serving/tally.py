"""What came of each request, counted while others are under way: little work each, sums at the end."""

from __future__ import annotations

import time
from array import array
from collections import Counter, defaultdict
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pileus.bench.serving.load import LATE_MS, Bin, Given, Latency, Sent, Task

OK, REFUSED = "200", "429"
MOST_GIVEN = 20_000
"""Different answers that are kept; more come only from a server that answers the same body ever differently."""


class Times:
    """Requests of one end: when each was meant to be sent, and how long it took."""

    def __init__(self) -> None:
        self.due = array("d")
        self.took_s = array("d")

    def arrays(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return np.array(self.due, np.float64), np.array(self.took_s, np.float64)


class Tally:
    """Of the requests whose intended time lies in [began, ends); `in_time` alone goes by when an answer came."""

    def __init__(self, task: Task, began: float) -> None:
        self.began, self.ends = began, began + task.seconds
        self.connections = self.stray = self.unnamed = self._in_time = 0
        self._task = task
        self._by_cause: dict[str, Times] = defaultdict(Times)
        self._late_s = array("d")
        self._refused_after_s = array("d")
        self._given: Counter[tuple[int, bytes]] = Counter()
        self._retry_s: list[float] = []
        self._cpu_began: float | None = None
        self._cpu_s: float | None = None

    def tick(self, now: float) -> None:
        """Called often: reads the processor's clock where counting begins and ends."""
        if self._cpu_began is None:
            if now >= self.began:
                self._cpu_began = time.process_time()
        elif self._cpu_s is None and now >= self.ends:
            self._cpu_s = time.process_time() - self._cpu_began

    def started(self, due: float, late_s: float) -> None:
        if self.began <= due < self.ends:
            self._late_s.append(late_s)

    def ended(self, cause: str, due: float, now: float, sent_at: float) -> None:
        if cause == OK and self.began <= now < self.ends:
            self._in_time += 1
        if self.began <= due < self.ends:
            times = self._by_cause[cause]
            times.due.append(due)
            times.took_s.append(now - due)
            if cause == REFUSED:
                self._refused_after_s.append(now - sent_at)

    def gave(self, body: int, answer: bytes) -> None:
        """A good answer, without its request's id."""
        if len(self._given) < MOST_GIVEN:
            self._given[body, answer] += 1

    def retry_after(self, wait_s: float) -> None:
        low, high = self._retry_s or (wait_s, wait_s)
        self._retry_s = [min(low, wait_s), max(high, wait_s)]

    def result(self) -> Sent:
        arrays = {cause: times.arrays() for cause, times in self._by_cause.items()}
        nothing = np.empty(0), np.empty(0)
        _, took_N = arrays.get(OK, nothing)
        late_N = np.array(self._late_s, np.float64)
        return Sent(
            began=self.began,
            seconds=self._task.seconds,
            sent=sum(len(due) for due, _ in arrays.values()),
            ok=len(took_N),
            in_time=self._in_time,
            failed={cause: len(due) for cause, (due, _) in sorted(arrays.items()) if cause != OK},
            latency=Latency.of(took_N),
            refused=Latency.of(arrays.get(REFUSED, nothing)[1]),
            refused_after=Latency.of(np.array(self._refused_after_s, np.float64)),
            retry_after_s=(self._retry_s[0], self._retry_s[1]) if self._retry_s else None,
            late=float((late_N > LATE_MS / 1e3).mean()) if len(late_N) else 0.0,
            late_p99_ms=1e3 * float(np.quantile(late_N, 0.99)) if len(late_N) else 0.0,
            cpu_s=self._cpu_s or 0.0,
            connections=self.connections,
            unnamed=self.unnamed,
            stray=self.stray,
            given=tuple(Given(body=body, answer=answer, times=times) for (body, answer), times in self._given.items()),
            timeline=self._timeline(arrays),
        )

    def _timeline(self, arrays: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]) -> tuple[Bin, ...]:
        count = max(1, round(self._task.seconds / self._task.bin_s))
        edges = np.linspace(self.began, self.ends, count + 1)
        bad = np.concatenate([np.empty(0), *(due for cause, (due, _) in arrays.items() if cause != OK)])
        failed_B = np.histogram(bad, edges)[0]
        due_N, took_N = arrays.get(OK, (np.empty(0), np.empty(0)))
        bin_N = np.digitize(due_N, edges) - 1
        bins = []
        for place in range(count):
            latency = Latency.of(took_N[bin_N == place])
            bins.append(
                Bin(
                    at_s=float(edges[place] - self.began),
                    ok=int((bin_N == place).sum()),
                    failed=int(failed_B[place]),
                    p50_ms=None if latency is None else latency.p50_ms,
                    p99_ms=None if latency is None else latency.p99_ms,
                    max_ms=None if latency is None else latency.max_ms,
                )
            )
        return tuple(bins)
