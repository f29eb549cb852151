"""The predictors of one model: each has at most one batch; who dies or falls silent is replaced, and its batch redone.

A predictor that is silent past a bound gets nothing more: its batch goes to another, the first answer counts, and a
substitute is started at once. When it speaks again it is taken back, or let go where the crew is complete; when it does
not, it is killed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from itertools import count

from pileus.errors import WorkFailed
from pileus.serving.batching import LOST, MAX_SENDS, STOPPED, Admission, Job, Queue
from pileus.serving.connection import Way
from pileus.serving.frames import Batch, Ready, Replies, Reply
from pileus.serving.instruments import Instruments
from pileus.serving.links import Link
from pileus.spec.values import Spec

_log = logging.getLogger(__name__)
_RECENT = 0.2


class Patience(Spec, frozen=True, kw_only=True):
    """With predictors."""

    silent_s: float = 0.25
    """Without an answer to a batch for so long, and for `silent_batches` times what a batch takes: silent."""
    silent_batches: float = 10.0
    kill_s: float = 3.0
    """After it fell silent, until it is killed."""
    start_s: float = 60.0
    losses: int = 20
    """More than so many within `losses_s` end the server."""
    losses_s: float = 60.0


class _Member:
    def __init__(self, link: Link, now: float) -> None:
        self.link = link
        self.since = now
        """Of the start, then of the last sending, then of falling silent."""
        self.ready = self.silent = self.leaving = False
        self.number = 0
        """Of its batch."""
        self.sent_at = now
        self.jobs: list[Job] = []
        self.ended = asyncio.Event()


class Crew:
    """On one event loop, between `start` and `stop`; `tick` must be called some times a second."""

    def __init__(
        self,
        make_link: Callable[[], Link],
        wanted: int,
        admission: Admission,
        patience: Patience,
        instruments: Instruments,
        failed: Callable[[WorkFailed], None],
    ) -> None:
        """`failed` is called when predictors die again and again."""
        self.queue = Queue(admission)
        self._make_link, self._wanted, self._patience = make_link, wanted, patience
        self._instruments, self._failed = instruments, failed
        self._members: dict[Link, _Member] = {}
        self._idle: list[_Member] = []
        self._numbers = count(1)
        self._batch_s = 0.0
        self._losses: list[float] = []
        self._started: asyncio.Future[None] | None = None
        self._closing = False
        self._dispatching = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    @property
    def num_ready(self) -> int:
        return sum(member.ready and not member.silent for member in self._members.values())

    @property
    def under_way(self) -> int:
        """Questions without an answer."""
        return len(self.queue) + sum(len(member.jobs) for member in self._members.values())

    async def start(self) -> None:
        """Until all are warm. WorkFailed where one cannot be."""
        self._started = self._loop.create_future()
        self._fill_up()
        try:
            await self._started
        finally:
            self._started = None

    def submit(self, job: Job) -> None:
        """QueueFull at once where it would wait too long; STOPPED where nothing is taken any more."""
        if self._closing:
            job.settle(STOPPED)
            return
        self.queue.join(job, time.monotonic())
        if self._idle and not self._dispatching:
            self._dispatching = True
            self._loop.call_soon(self._dispatch)  # after all that has come in with it

    def tick(self, now: float) -> None:
        self.queue.tick(now)
        for member in list(self._members.values()):
            waited_s = now - member.since
            for job in member.jobs:
                if now >= job.due:
                    job.settle(Reply(504, b""))
            if not member.link.can_be_killed:
                continue
            if not member.ready:
                late = waited_s > self._patience.start_s
            else:
                late = member.silent and waited_s > self._patience.kill_s
                if member.jobs and not member.silent and waited_s > self._silent_s(member):
                    self._fell_silent(member, now)
            if late:
                member.link.kill()

    async def drained(self) -> None:
        """Until nothing is asked; the caller sets the deadline."""
        while self.under_way:
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """What is not yet answered is answered with STOPPED."""
        self._closing = True
        self.queue.settle_all(STOPPED)
        for member in list(self._members.values()):
            for job in member.jobs:
                job.settle(STOPPED)
            if member.silent:
                member.link.kill()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(member.link.close() for member in list(self._members.values())))
        self._members.clear()

    # told by the links

    def link_ready(self, link: Link, ready: Ready) -> None:
        member = self._members[link]
        member.ready = True
        self.queue.expect(ready.max_batch, ready.question_s)
        self._batch_s = self._batch_s or ready.batch_s
        self._take_in(member)
        if self._started is not None and not self._started.done() and self.num_ready >= self._wanted:
            self._started.set_result(None)

    def link_replied(self, link: Link, replies: Replies) -> None:
        member = self._members[link]
        if replies.number != member.number:
            return
        jobs, member.jobs, sent_at = member.jobs, [], member.sent_at
        batch_s = time.monotonic() - member.since
        if not member.silent:
            self._batch_s += (batch_s - self._batch_s) * _RECENT
            self.queue.learn(_weight(jobs), batch_s)
        member.silent = False
        self._take_in(member)
        way = Way(sent_at, len(jobs), replies.tally.images, replies.compute_s, link.pid)
        for job, reply in zip(jobs, replies.replies, strict=True):
            job.places -= 1
            job.request.way = job.request.way or way
            job.settle(reply)
        self._instruments.tally(replies.tally, replies.compute_s)

    def link_lost(self, link: Link, reason: str) -> None:
        member = self._members.pop(link, None)
        if member is None:
            return
        if member in self._idle:
            self._idle.remove(member)
        self._redo(member)
        self._count()
        if self._closing or member.leaving:
            return
        self._instruments.lost.add("silent" if member.silent else "died")
        if self._started is not None and not self._started.done():
            self._started.set_exception(WorkFailed(f"the model cannot answer: {reason}."))
            return
        _log.warning("a predictor was lost (%s); another takes its place", reason)
        now = time.monotonic()
        self._losses = [*(at for at in self._losses if now - at < self._patience.losses_s), now]
        if len(self._losses) > self._patience.losses:
            self._closing = True
            self.queue.settle_all(STOPPED)
            self._failed(
                WorkFailed(
                    f"predictors were lost {len(self._losses)} times within {self._patience.losses_s:g} s "
                    f"(the last: {reason}); see the messages above."
                )
            )
            return
        self._fill_up()
        self._dispatch()

    # within

    def _fill_up(self) -> None:
        """Silent ones do not count."""
        present = sum(not member.silent and not member.leaving for member in self._members.values())
        for _ in range(self._wanted - present):
            link = self._make_link()
            self._members[link] = _Member(link, time.monotonic())
            self._spawn(link.start(self))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _take_in(self, member: _Member) -> None:
        """One that has nothing to do: another batch, or farewell where there are more than are wanted."""
        if self._closing or self.num_ready > self._wanted:
            member.leaving, member.ready = True, False
            self._spawn(member.link.close())
        else:
            self._idle.append(member)
        self._count()
        self._dispatch()

    def _silent_s(self, member: _Member) -> float:
        """From when on it is silent: later where it has more to do than others had."""
        batch_s = max(self._batch_s, self.queue.cost_s(_weight(member.jobs)))
        return max(self._patience.silent_s, self._patience.silent_batches * batch_s)

    def _count(self) -> None:
        self.queue.num_servers = self.num_ready

    def _dispatch(self) -> None:
        self._dispatching = False
        now = time.monotonic()
        while self._idle and (jobs := self.queue.take(now)):
            member = self._idle.pop()
            member.jobs, member.since, member.number = jobs, now, next(self._numbers)
            member.sent_at = now
            for job in jobs:
                job.sends += 1
                job.places += 1
            self._instruments.queue_s.observe(now - jobs[0].queued_at)
            member.link.send(Batch(member.number, [job.question for job in jobs]))

    def _fell_silent(self, member: _Member, now: float) -> None:
        member.silent, member.since = True, now
        _log.warning("a predictor is silent; its batch goes to another, and another takes its place")
        self._count()
        again = [job for job in member.jobs if job.sends < MAX_SENDS]
        self.queue.join_again(again)
        self._fill_up()
        self._dispatch()

    def _redo(self, member: _Member) -> None:
        """The batch of one that is lost: again where it was sent once, unless another has it too."""
        again = []
        for job in member.jobs:
            job.places -= 1
            if job.settled or job.places > 0:
                continue
            if job.sends >= MAX_SENDS:
                job.settle(LOST)
            elif not member.silent:  # of a silent one it has joined the queue already
                again.append(job)
        member.jobs = []
        self.queue.join_again(again)


def _weight(jobs: list[Job]) -> int:
    return sum(job.question.weight for job in jobs)
