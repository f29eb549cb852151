from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from pileus.serving.batching import Batcher, QueueFull, Stopped


class Predictor:
    """Answers each image with its first pixel; a batch waits for its gate; remembers the sizes of batches."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.sizes: list[int] = []
        self.failure: Exception | None = None

    def __call__(self, images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.sizes.append(len(images_NHWC))
        self.entered.set()
        assert self.gate.wait(10)
        if self.failure is not None:
            raise self.failure
        return images_NHWC[:, 0, 0].astype(np.float32)


def image(value: int) -> NDArray[np.uint8]:
    return np.full((2, 2, 1), value, np.uint8)


def run(
    test: Callable[[Batcher, Predictor], Awaitable[None]],
    *,
    max_batch: int = 3,
    max_queue: int = 8,
    observe: Callable[[int, float], None] = lambda images, seconds: None,
) -> list[BaseException]:
    """Run one scenario on a loop of its own; returns what the batcher's end was told with."""
    ended: list[BaseException] = []

    async def scenario() -> None:
        predictor = Predictor()
        batcher = Batcher(predictor, max_batch=max_batch, max_queue=max_queue, observe=observe)
        batcher.start(ended.append)
        try:
            async with asyncio.timeout(10):
                await test(batcher, predictor)
        finally:
            predictor.gate.set()
            await batcher.stop()

    asyncio.run(scenario())
    return ended


async def busy(batcher: Batcher, predictor: Predictor) -> asyncio.Task[NDArray[np.float32]]:
    """One image is being computed and stays so until the gate opens."""
    first = asyncio.create_task(batcher.submit(image(0)))
    await asyncio.to_thread(predictor.entered.wait, 10)
    return first


async def queued(batcher: Batcher, *values: int) -> list[asyncio.Task[NDArray[np.float32]]]:
    tasks = [asyncio.create_task(batcher.submit(image(value))) for value in values]
    before = batcher.queued
    while batcher.queued < before + len(values):
        await asyncio.sleep(0)
    return tasks


def test_alone_is_a_batch_of_one_at_once() -> None:
    async def scenario(batcher: Batcher, predictor: Predictor) -> None:
        predictor.gate.set()
        assert (await batcher.submit(image(9))).tolist() == [9]
        assert predictor.sizes == [1]

    assert run(scenario) == []


def test_what_queues_while_busy_goes_together_up_to_the_cap_and_each_gets_its_own() -> None:
    async def scenario(batcher: Batcher, predictor: Predictor) -> None:
        first = await busy(batcher, predictor)
        rest = await queued(batcher, 1, 2, 3, 4, 5)
        predictor.gate.set()
        answers = await asyncio.gather(first, *rest)
        assert [row.tolist() for row in answers] == [[0], [1], [2], [3], [4], [5]]
        assert predictor.sizes == [1, 3, 2]

    assert run(scenario) == []


def test_a_full_queue_refuses_at_once() -> None:
    async def scenario(batcher: Batcher, predictor: Predictor) -> None:
        first = await busy(batcher, predictor)
        rest = await queued(batcher, 1, 2)
        with pytest.raises(QueueFull):
            await batcher.submit(image(3))
        predictor.gate.set()
        await asyncio.gather(first, *rest)

    run(scenario, max_queue=2)


def test_the_estimated_wait_grows_with_the_queue() -> None:
    async def scenario(batcher: Batcher, predictor: Predictor) -> None:
        predictor.gate.set()
        await batcher.submit(image(1))
        empty_s = batcher.wait_s()
        predictor.gate.clear()
        predictor.entered.clear()
        first = await busy(batcher, predictor)
        rest = await queued(batcher, *range(6))
        assert batcher.wait_s() == pytest.approx(3 * empty_s) and empty_s > 0
        predictor.gate.set()
        await asyncio.gather(first, *rest)

    run(scenario)


def test_what_is_given_up_is_never_computed() -> None:
    async def scenario(batcher: Batcher, predictor: Predictor) -> None:
        first = await busy(batcher, predictor)
        one, two, three = await queued(batcher, 1, 2, 3)
        two.cancel()
        await asyncio.gather(two, return_exceptions=True)
        assert batcher.queued == 2
        predictor.gate.set()
        await asyncio.gather(first, one, three)
        assert predictor.sizes == [1, 2]

    assert run(scenario) == []


def test_a_failing_batch_fails_those_in_it_and_no_other() -> None:
    async def scenario(batcher: Batcher, predictor: Predictor) -> None:
        predictor.failure = MemoryError("no room")
        first = await busy(batcher, predictor)
        predictor.gate.set()
        with pytest.raises(MemoryError, match="no room"):
            await first
        predictor.failure = None
        assert (await batcher.submit(image(7))).tolist() == [7]

    assert run(scenario) == []


def test_stopping_answers_everyone() -> None:
    async def scenario(batcher: Batcher, predictor: Predictor) -> None:
        first = await busy(batcher, predictor)
        rest = await queued(batcher, 1, 2)
        first.add_done_callback(lambda _: predictor.gate.set())
        await batcher.stop()
        for task in (first, *rest):
            with pytest.raises(Stopped):
                await task

    assert run(scenario) == []


def test_the_end_of_the_loop_is_told() -> None:
    def failing(images: int, seconds: float) -> None:
        raise ValueError("a fault in the measuring")

    async def scenario(batcher: Batcher, predictor: Predictor) -> None:
        predictor.gate.set()
        await batcher.submit(image(1))

    (error,) = run(scenario, observe=failing)
    assert str(error) == "a fault in the measuring"
