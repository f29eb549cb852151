"""A map by Spark's own tasks: a job for each item, since one job has all its items at its beginning."""

from __future__ import annotations

import queue
import secrets
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pyspark.util import InheritableThread

from pileus.engines.places.ports import Need
from pileus.engines.places.stories import telling_line
from pileus.engines.spark.session import SparkSession
from pileus.engines.tasks import died, outcome, outcome_of_kept

_END_DEADLINE_S = 20.0


class _Run:
    """What a task does, with its call sent to each executor once."""

    def __init__(self, call: Any, word: str | None) -> None:
        """`word`: of the map, where the call is kept."""
        self._call, self._word = call, word

    def __call__(self, contents: Iterable[bytes]) -> Iterator[bytes]:
        return map(self._outcome, contents)

    def _outcome(self, content: bytes) -> bytes:
        if self._word is None:
            return outcome(self._call.value, content)
        return outcome_of_kept(self._word, lambda: bytes(self._call.value), content)


class SparkTasks:
    def __init__(self, session: SparkSession, call: bytes, workers: int, keep: bool) -> None:
        session.open(workers, Need(cores=1))
        self._context = session.context
        self._word = secrets.token_hex(8)
        self._call = self._context.broadcast(call)
        self._task = _Run(self._call, self._word if keep else None)
        self._outcomes: queue.Queue[tuple[int, bytes]] = queue.Queue()
        self._busy: dict[int, threading.Thread] = {}

    def begin(self, number: int, content: bytes) -> None:
        thread = InheritableThread(target=self._run, args=(number, content), name=f"item-{number}")
        self._busy[number] = thread
        thread.start()

    def ended(self, timeout_s: float) -> Mapping[int, bytes]:
        try:
            number, content = self._outcomes.get(timeout=timeout_s)
        except queue.Empty:
            return {}
        self._busy.pop(number).join(_END_DEADLINE_S)
        return {number: content}

    def told(self, number: int) -> str:
        return f"the Spark task at item {number}"

    def end(self) -> None:
        for number in self._busy:
            self._context.cancelJobGroup(self._group(number))
        until = time.monotonic() + _END_DEADLINE_S
        for thread in self._busy.values():
            thread.join(max(0.0, until - time.monotonic()))
        self._busy.clear()
        self._call.destroy()

    def _group(self, number: int) -> str:
        return f"pileus-item-{self._word}-{number}"

    def _run(self, number: int, content: bytes) -> None:
        try:
            self._context.setJobGroup(self._group(number), f"item {number} of a map", interruptOnCancel=True)
            (made,) = self._context.parallelize([content], 1).mapPartitions(self._task).collect()
        except Exception as error:  # whatever Spark makes of it
            made = died(self.told(number), f"died: {telling_line(error, 'ost', 'exited')}")
        self._outcomes.put((number, made))
