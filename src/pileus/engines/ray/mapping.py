"""A map by Ray's own tasks."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Mapping
from typing import Any

import ray
import ray.exceptions

from pileus.engines.ray.cluster import RayCluster
from pileus.engines.tasks import died, outcome, outcome_of_kept

_END_DEADLINE_S = 10.0


def _by_kept(word: str, call: list[Any], content: bytes) -> bytes:
    """Ray gives a task what a list refers to only where the task asks for it."""
    return outcome_of_kept(word, lambda: ray.get(call[0]), content)


class RayTasks:
    """What a process of Ray keeps is gone with the driver's connection, or when that process keeps another call."""

    def __init__(self, cluster: RayCluster, call: bytes, workers: int, keep: bool) -> None:
        cluster.open()
        run = ray.remote(_by_kept if keep else outcome)
        self._run = run.options(num_cpus=cluster.share(1, workers), max_retries=0)
        self._call = ray.put(call)
        self._words = (secrets.token_hex(8), [self._call]) if keep else (self._call,)
        self._busy: dict[Any, int] = {}
        """Numbers of items, by the reference to their outcome."""

    def begin(self, number: int, content: bytes) -> None:
        self._busy[self._run.remote(*self._words, content)] = number

    def ended(self, timeout_s: float) -> Mapping[int, bytes]:
        over, _ = ray.wait(list(self._busy), num_returns=1, timeout=timeout_s)
        return {number: self._outcome(end, number) for end in over for number in [self._busy.pop(end)]}

    def told(self, number: int) -> str:
        return f"the Ray task at item {number}"

    def end(self) -> None:
        running = list(self._busy)
        for end in running:
            with contextlib.suppress(ray.exceptions.RayError):
                ray.cancel(end, force=True)
        if running:
            ray.wait(running, num_returns=len(running), timeout=_END_DEADLINE_S)
        self._busy.clear()

    def _outcome(self, end: Any, number: int) -> bytes:
        try:
            content: bytes = ray.get(end)
        except ray.exceptions.RayError as error:
            return died(self.told(number), f"died: {type(error).__name__}")
        return content
