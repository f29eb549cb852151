"""The model at work in one process: its life (starting, ready, draining) and the way of one prediction."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Literal
from urllib.parse import parse_qs

import numpy as np

from pileus.bundles import Bundle
from pileus.serving.answers import Answer, Refusal, prediction_answer
from pileus.serving.batching import Batcher, QueueFull, Stopped
from pileus.serving.instruments import Instruments
from pileus.serving.requests import (
    RAW,
    Headers,
    Input,
    Limits,
    Receive,
    deadline_of,
    media_type_of,
    parse,
    read_body,
)
from pileus.spec.values import Spec

State = Literal["starting", "ready", "draining", "failed"]

_log = logging.getLogger(__name__)
_PREPARING_THREADS = 2
_RETRY_S = 1.0
"""What a client is told to wait while the server starts or drains."""


class Settings(Spec, frozen=True, kw_only=True):
    max_batch: int = 64
    max_under_way: int = 512
    """Prediction requests between head and answer; each may hold a body in memory."""
    limits: Limits = Limits()


class Service:
    """Lives on one event loop, between `start` and `stop`."""

    def __init__(self, bundle: Bundle, settings: Settings) -> None:
        self.bundle = bundle
        self.state: State = "starting"
        self._settings = settings
        self._under_way = 0
        self._preparing = ThreadPoolExecutor(_PREPARING_THREADS, thread_name_prefix="pileus-preparing")
        self.instruments = Instruments(
            bundle,
            ready=lambda: self.state == "ready",
            queued=lambda: self._batcher.queued,
            under_way=lambda: self._under_way,
        )
        self._batcher = Batcher(
            bundle.probabilities,
            max_batch=settings.max_batch,
            max_queue=max(settings.max_batch, settings.max_under_way),
            observe=self.instruments.observe_batch,
        )

    def start(self, ready: Callable[[], None], failed: Callable[[BaseException], None]) -> None:
        """Warm up in the background, then call one of the two; `failed` also when the predictor's loop ends."""
        self._batcher.start(lambda error: self._give_up(error, failed))
        self._warming = asyncio.create_task(self._warm_up(ready, failed), name="pileus-warm-up")

    def drain(self) -> None:
        """From now on only what was begun is answered."""
        self.state = "draining"

    async def stop(self) -> None:
        self.drain()
        self._warming.cancel()
        await asyncio.gather(self._warming, return_exceptions=True)
        await self._batcher.stop()
        await asyncio.to_thread(self._preparing.shutdown, cancel_futures=True)

    def check_ready(self) -> None:
        """503 unless ready."""
        if self.state != "ready":
            raise Refusal(503, f"the server is {self.state}; try again.", retry_after_s=_RETRY_S)

    async def predict(self, request_id: str, query: bytes, headers: Headers, receive: Receive) -> Answer:
        """One prediction. All that the head of a request can be refused for comes before its body is read."""
        self.check_ready()
        self._check_query(query)
        media_type = media_type_of(headers, self.bundle.manifest.preprocessing)
        deadline_s = deadline_of(headers, self._settings.limits)
        if self._under_way >= self._settings.max_under_way:
            raise self._too_many(self._batcher.wait_s())
        self._under_way += 1
        try:
            async with asyncio.timeout(deadline_s):
                return await self._answer(request_id, media_type, headers, receive)
        except TimeoutError as error:
            raise Refusal(504, f"no answer within {deadline_s * 1000:g} ms; allow more or try again.") from error
        except QueueFull as error:
            raise self._too_many(error.wait_s) from error
        except Stopped as error:
            raise Refusal(503, "the server was stopped; try again.", retry_after_s=_RETRY_S) from error
        finally:
            self._under_way -= 1

    async def _answer(self, request_id: str, media_type: str, headers: Headers, receive: Receive) -> Answer:
        with self._timed("read"):
            body = await read_body(receive, headers, media_type, self._settings.limits)
        with self._timed("prepare"):
            image_HWC, box = await self._prepared(body, media_type)
        with self._timed("predict"):
            probabilities_K = await self._batcher.submit(image_HWC)
        prediction = self.bundle.judge(probabilities_K)
        self.instruments.verdicts.add(prediction.verdict)
        return prediction_answer(self.bundle, request_id, [(prediction, box)])

    async def _prepared(self, body: bytes, media_type: str) -> Input:
        if media_type == RAW:  # nothing to do that would be worth a thread
            return parse(body, media_type, self.bundle.manifest.preprocessing, self._settings.limits)
        return await self._in_thread(body, media_type)

    async def _in_thread(self, body: bytes, media_type: str) -> Input:
        return await asyncio.get_running_loop().run_in_executor(
            self._preparing, parse, body, media_type, self.bundle.manifest.preprocessing, self._settings.limits
        )

    def _check_query(self, query: bytes) -> None:
        """`model` must be this one; `segment` may be `none`."""
        try:
            asked = parse_qs(query.decode("ascii"), keep_blank_values=True, max_num_fields=16)
        except ValueError as error:
            raise Refusal(400, "the query cannot be decoded; use ?model=NAME[@VERSION] and ?segment=none.") from error
        for model in asked.get("model", []):
            name, _, version = model.partition("@")
            if name != self.bundle.name or version not in ("", self.bundle.version, self.bundle.manifest.version):
                here = f"{self.bundle.name}@{self.bundle.version}"
                raise Refusal(404, f"there is no model {model[:100]!r} here, only {here}; see /v1/models.")
        for segment in asked.get("segment", []):
            if segment != "none":
                raise Refusal(422, f"segment may be 'none' (got {segment[:20]!r}); leave it out.")

    def _too_many(self, wait_s: float) -> Refusal:
        return Refusal(429, "too many requests are under way; try again later.", retry_after_s=max(wait_s, _RETRY_S))

    async def _warm_up(self, ready: Callable[[], None], failed: Callable[[BaseException], None]) -> None:
        blank = np.zeros(self.bundle.input_shape, np.uint8).tobytes()
        try:
            image_HWC, _ = await self._in_thread(blank, RAW)
            for count in (1, self._settings.max_batch):
                await asyncio.gather(*(self._batcher.submit(image_HWC) for _ in range(count)))
        except Exception as error:
            self._give_up(error, failed)
            return
        if self.state == "starting":
            self.state = "ready"
            ready()

    def _give_up(self, error: BaseException, failed: Callable[[BaseException], None]) -> None:
        if self.state != "draining":
            self.state = "failed"
            failed(error)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.instruments.stage_s.observe(time.perf_counter() - start, stage)
