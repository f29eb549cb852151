"""When requests are meant to be sent."""

from __future__ import annotations

import heapq
import math
from random import Random
from typing import Protocol

from pileus.bench.serving.load import Arrivals, Users


class Schedule(Protocol):
    due: float
    """When the next request is meant to be sent; infinite while none is."""

    def take(self) -> float:
        """`due`, which goes on to the next."""

    def answered(self, now: float, wait_s: float) -> None:
        """One that was taken has ended; a server that refused asked to wait so long."""


def schedule_of(load: Users | Arrivals, began: float, seed: int) -> Schedule:
    return OfUsers(load, began, seed) if isinstance(load, Users) else OfArrivals(load, began, seed)


class OfUsers:
    """The first requests are spread over one pause, so that users do not march in step."""

    def __init__(self, load: Users, began: float, seed: int) -> None:
        self._think_s, self._most_wait_s = load.think_s, load.most_wait_s
        self._random = Random(seed)
        self._due = sorted(began + self._random.uniform(0.0, load.think_s) for _ in range(load.users))
        self.due = self._due[0]

    def take(self) -> float:
        taken = heapq.heappop(self._due)
        self.due = self._due[0] if self._due else math.inf
        return taken

    def answered(self, now: float, wait_s: float) -> None:
        pause_s = self._think_s * self._random.uniform(0.5, 1.5) if self._think_s else 0.0
        heapq.heappush(self._due, now + pause_s + min(wait_s, self._most_wait_s))
        self.due = self._due[0]


class OfArrivals:
    def __init__(self, load: Arrivals, began: float, seed: int) -> None:
        self._per_s = load.per_s
        self._random = Random(seed)
        self.due = began

    def take(self) -> float:
        taken = self.due
        self.due += self._random.expovariate(self._per_s)
        return taken

    def answered(self, now: float, wait_s: float) -> None:
        """What came of those before changes nothing."""
