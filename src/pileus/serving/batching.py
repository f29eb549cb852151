"""Greedy micro-batching: an idle predictor takes all that is queued, up to a cap, at once.

Nobody waits for company: alone, a request is a batch of one; under load, batches grow by themselves. The queue
is bounded, and what its asker has given up is dropped before it is computed.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
from numpy.typing import NDArray

Predict = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""(N, H, W, C) uint8 -> (N, K) float32, row by row."""

Observe = Callable[[int, float], None]
"""Called with (images, seconds) after each batch."""

Waiting = asyncio.Future[NDArray[np.float32]]
"""Whoever waits for one row of probabilities."""

_RECENT = 0.2
"""Weight of the last batch in the running mean of their times."""


class QueueFull(Exception):  # noqa: N818 - a state that is answered, not a failure
    """`wait_s`: by when the queue will have been worked off."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"the queue is full for about {wait_s:.3f} s")
        self.wait_s = wait_s


class Stopped(Exception):  # noqa: N818 - as above
    """The server stopped before this one was computed."""


class Batcher:
    """Lives on one event loop; computes in one thread of its own, so that the loop goes on reading."""

    def __init__(self, predict: Predict, *, max_batch: int, max_queue: int, observe: Observe) -> None:
        self._predict = predict
        self._max_batch = max_batch
        self._max_queue = max_queue
        self._observe = observe
        self._queue: dict[Waiting, NDArray[np.uint8]] = {}
        self._wake = asyncio.Event()
        self._batch_s = 0.0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pileus-predictor")
        self._task: asyncio.Task[None] | None = None

    @property
    def queued(self) -> int:
        return len(self._queue)

    def start(self, ended: Callable[[BaseException], None]) -> None:
        """`ended` is called should the loop ever end by itself: it never should."""
        self._task = asyncio.create_task(self._run(), name="pileus-batcher")
        self._task.add_done_callback(lambda task: None if task.cancelled() else ended(task.exception() or Stopped()))

    async def stop(self) -> None:
        """What is not yet answered fails with Stopped."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        _fail(self._queue, Stopped())
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)

    async def submit(self, image_HWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(K,) of one image. QueueFull at once when there is no room; the predictor's error where it fails.

        A caller that is cancelled (by its deadline) leaves the queue.
        """
        if len(self._queue) >= self._max_queue:
            raise QueueFull(self.wait_s())
        answer: Waiting = asyncio.get_running_loop().create_future()
        self._queue[answer] = image_HWC
        self._wake.set()
        try:
            return await answer
        finally:
            self._queue.pop(answer, None)

    def wait_s(self) -> float:
        """Estimate for one that would join now."""
        return (math.ceil(len(self._queue) / self._max_batch) + 1) * self._batch_s

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            asked = list(islice(self._queue, self._max_batch))
            if not asked:
                self._wake.clear()
                continue
            images_NHWC = [self._queue.pop(answer) for answer in asked]
            await self._answer(asked, images_NHWC)

    async def _answer(self, asked: list[Waiting], images_NHWC: list[NDArray[np.uint8]]) -> None:
        start = time.perf_counter()
        try:
            work = asyncio.get_running_loop().run_in_executor(
                self._thread, lambda: self._predict(np.stack(images_NHWC))
            )
            rows_NK = await work
        except asyncio.CancelledError:
            _fail(asked, Stopped())
            raise
        except Exception as error:  # whatever it is, it belongs to those who asked and not to this loop
            _fail(asked, error)
            return
        for answer, row_K in zip(asked, rows_NK, strict=True):
            if not answer.done():
                answer.set_result(row_K)
        seconds = time.perf_counter() - start
        self._batch_s += (seconds - self._batch_s) * (_RECENT if self._batch_s else 1.0)
        self._observe(len(asked), seconds)


def _fail(waiting: Iterable[Waiting], error: Exception) -> None:
    for answer in waiting:
        if not answer.done():
            answer.set_exception(error)
