"""A second bundle asked what production was asked: a part of live traffic, only after production has asked.

It has one predictor a front, of the lowest priority, and a short queue: what finds no room there is dropped, and
counted. Nobody waits for it, and when it dies again and again it is left alone. Both answers are compared item by item;
what differs is kept in the registry, by a thread.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import msgspec

from pileus.bundles import Manifest
from pileus.bundles.disagreements import Case, Disagreements, Outcome, ToldItem
from pileus.errors import PileusError
from pileus.serving.frames import Batch, Question, Ready, Replies, Reply
from pileus.serving.instruments import Instruments
from pileus.serving.links import Link, Supply
from pileus.store import open_store

_log = logging.getLogger(__name__)

_MAX_QUEUE = 64
_MAX_QUEUE_BYTES = 16 * 1024 * 1024
_MAX_BATCH = 8
_MAX_KEEPING = 32
"""Cases that wait to be written."""
_START_S = 60.0
_SILENT_S = 30.0
_LOSSES = 3
"""More than so many within `_LOSSES_S` end the comparing."""
_LOSSES_S = 600.0
_COUNT_S = 2.0
"""Between two writings of what was counted."""
_END_S = 5.0
_TELL_AGAIN_S = 60.0


class Asked(NamedTuple):
    """What production was asked, and what it told."""

    request_id: bytes
    media_type: str
    whole: bool
    input: bytes
    question: Question
    """As production's predictor had it."""
    told: bytes
    """The JSON of the prediction from its `text` on."""


class _Told(msgspec.Struct):
    items: list[ToldItem]


_decode = msgspec.json.Decoder(_Told).decode


def compared(production: bytes, shadow: bytes) -> Outcome:
    """Of two predictions as they are told, from `text` on."""
    ours, theirs = (_decode(b"{" + told).items for told in (production, shadow))
    if len(ours) != len(theirs):
        return "items"
    if [item.label for item in ours] != [item.label for item in theirs]:
        return "label"
    return "agreed" if [item.verdict for item in ours] == [item.verdict for item in theirs] else "verdict"


class Shadow:
    """Of one front, on its event loop, between `start` and `stop`; `tick` must be called some times a second."""

    def __init__(
        self, supply: Supply, production: Manifest, registry: str, share: float, instruments: Instruments
    ) -> None:
        """`share` in [0, 1] of what production answers; `registry` is where it is kept."""
        self.manifest = supply.manifest
        self._supply, self._production, self._share = supply, production, share
        self._instruments = instruments
        self._chance = random.Random()
        self._queue: deque[Asked] = deque()
        self._queue_bytes = 0
        self._link: Link | None = None
        self._ready = self._ended = False
        self._batch: list[Asked] = []
        self._number = 0
        self._since = 0.0
        """Of the start, then of the last sending."""
        self._losses: list[float] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._kept = Disagreements(open_store(registry), production.version, supply.manifest.version)
        self._counted: Counter[str] = Counter()
        self._counted_at = time.monotonic()
        self._num_keeping = 0
        self._silent_until = 0.0
        """About a store that takes nothing."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pileus-shadow")

    def start(self) -> None:
        """In time: nobody waits for it."""
        self._since = time.monotonic()
        self._link = self._supply.make_link()
        task = asyncio.get_running_loop().create_task(self._link.start(self), name="pileus-shadow")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def wants(self, manifest: Manifest) -> bool:
        """Whether this answer of a model is one of the sample."""
        return self._chance.random() < self._share and not self._ended and manifest.version == self._production.version

    def note(self, asked: Asked) -> None:
        size = _size(asked)
        if len(self._queue) >= _MAX_QUEUE or self._queue_bytes + size > _MAX_QUEUE_BYTES:
            self._count("dropped")
            return
        self._queue.append(asked)
        self._queue_bytes += size
        self._send()

    def tick(self, now: float) -> None:
        if self._link is not None and (self._batch or not self._ready):
            most_s = _SILENT_S if self._ready else _START_S
            if now - self._since > most_s and self._link.can_be_killed:
                self._link.kill()
        if self._counted and now - self._counted_at > _COUNT_S and self._num_keeping < _MAX_KEEPING:
            self._write_counts()

    async def stop(self) -> None:
        """What was counted is written, where the store takes it within seconds; what waits is not compared."""
        self._ended = True
        self._forget_queue()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._link is not None:
            await self._link.close()
        if self._counted:
            self._write_counts()
        written = asyncio.get_running_loop().run_in_executor(self._thread, lambda: None)
        await asyncio.wait([written], timeout=_END_S)
        self._thread.shutdown(wait=False, cancel_futures=True)

    # told by the link

    def link_ready(self, link: Link, ready: Ready) -> None:
        self._ready = True
        self._send()

    def link_replied(self, link: Link, replies: Replies) -> None:
        batch, self._batch = self._batch, []
        for asked, reply in zip(batch, replies.replies, strict=True):
            self._compare(asked, reply)
        self._send()

    def link_lost(self, link: Link, reason: str) -> None:
        self._link, self._ready = None, False
        for _ in self._batch:
            self._count("failed")
        self._batch = []
        if self._ended:
            return
        now = time.monotonic()
        self._losses = [*(at for at in self._losses if now - at < _LOSSES_S), now]
        if len(self._losses) > _LOSSES:
            self._ended = True
            self._forget_queue()
            _log.error("shadow %s cannot answer (%s); it is left alone", self.manifest.short_version, reason)
            return
        _log.warning("the predictor of shadow %s was lost (%s)", self.manifest.short_version, reason)
        self.start()

    # within

    def _send(self) -> None:
        if not self._ready or self._batch or not self._queue or self._link is None:
            return
        while self._queue and len(self._batch) < _MAX_BATCH:
            asked = self._queue.popleft()
            self._queue_bytes -= _size(asked)
            self._batch.append(asked)
        self._number += 1
        self._since = time.monotonic()
        self._link.send(Batch(self._number, [asked.question for asked in self._batch]))

    def _compare(self, asked: Asked, reply: Reply) -> None:
        outcome: Outcome = "failed" if reply.status != 200 else compared(asked.told, reply.body)
        self._count(outcome)
        if outcome == "agreed" or outcome == "failed" or outcome == "dropped" or self._num_keeping >= _MAX_KEEPING:
            return
        case = Case(
            outcome=outcome,
            request_id=asked.request_id.decode(),
            at_s=time.time(),
            media_type=asked.media_type,
            whole=asked.whole,
            input=asked.input,
            production=msgspec.json.decode(b"{" + asked.told),
            shadow=msgspec.json.decode(b"{" + reply.body),
        )
        self._num_keeping += 1
        self._in_thread(lambda: self._kept.keep(case))

    def _count(self, outcome: Outcome) -> None:
        self._instruments.shadow.add(outcome)
        self._counted[outcome] += 1

    def _write_counts(self) -> None:
        counted, self._counted = self._counted, Counter()
        self._counted_at = time.monotonic()
        self._num_keeping += 1
        now_s = time.time()
        self._in_thread(lambda: self._kept.add(counted, now_s))

    def _in_thread(self, work: Callable[[], None]) -> None:
        written = asyncio.get_running_loop().run_in_executor(self._thread, work)
        written.add_done_callback(self._written)

    def _written(self, written: asyncio.Future[None]) -> None:
        self._num_keeping -= 1
        error = None if written.cancelled() else written.exception()
        if error is None or time.monotonic() < self._silent_until:
            return
        self._silent_until = time.monotonic() + _TELL_AGAIN_S
        own_fault = None if isinstance(error, PileusError) else error
        _log.warning("what the shadow answered could not be kept in the registry: %s", error, exc_info=own_fault)

    def _forget_queue(self) -> None:
        self._queue.clear()
        self._queue_bytes = 0


def _size(asked: Asked) -> int:
    return len(asked.input) + len(asked.question.body) + len(asked.told)
