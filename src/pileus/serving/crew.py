"""The predictors of one model: who gets the next batch; who dies or falls silent is replaced, and its batches redone.

An idle predictor takes what waits, unless another is about to be done, which will take it with what comes until then:
one great batch costs less than two small ones. One that is at work is given another full batch before it ends, so that
it need not wait for this loop, which may have hundreds of connections to read first.

A predictor that is silent past a bound gets nothing more: its batches go to another, the first answer counts, and a
substitute is started at once. When it speaks again it is taken back, or let go where the crew is complete; when it does
not, it is killed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from itertools import count
from typing import NamedTuple

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


class _Given(NamedTuple):
    """A batch that a predictor has not answered."""

    number: int
    jobs: list[Job]
    at: float
    weight: int


class _Member:
    def __init__(self, link: Link, now: float) -> None:
        self.link = link
        self.since = now
        """Of the start, then since when it can have been at work on its first batch, then of falling silent."""
        self.ready = self.silent = self.leaving = False
        self.given: deque[_Given] = deque()
        """In order; it is at work on the first."""

    @property
    def jobs(self) -> Iterator[Job]:
        return (job for given in self.given for job in given.jobs)

    @property
    def takes(self) -> bool:
        """One that leaves is not ready any more."""
        return self.ready and not self.silent


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
        self._make_link, self._wanted = make_link, wanted
        self._admission, self._patience = admission, patience
        self._instruments, self._failed = instruments, failed
        self._members: dict[Link, _Member] = {}
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
        return sum(member.takes for member in self._members.values())

    @property
    def under_way(self) -> int:
        """Questions without an answer."""
        return len(self.queue) + sum(len(given.jobs) for member in self._members.values() for given in member.given)

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
        if not self._dispatching:
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
                if member.given and not member.silent and waited_s > self._silent_s(member):
                    self._fell_silent(member, now)
            if late:
                member.link.kill()
        self._dispatch(now)

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
        member, now = self._members[link], time.monotonic()
        if not member.given or replies.number != member.given[0].number:
            return
        given = member.given.popleft()
        if not member.silent:
            self._batch_s += (now - member.since - self._batch_s) * _RECENT
            self.queue.learn(given.weight, replies.compute_s)
        member.silent, member.since = False, now
        self._take_in(member)
        way = Way(given.at, len(given.jobs), replies.tally.images, replies.compute_s, link.pid)
        for job, reply in zip(given.jobs, replies.replies, strict=True):
            job.places -= 1
            job.request.way = job.request.way or way
            job.settle(reply)
        self._instruments.tally(replies.tally, replies.compute_s)

    def link_lost(self, link: Link, reason: str) -> None:
        member = self._members.pop(link, None)
        if member is None:
            return
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
        """One that can have more: another batch, or farewell where there are more than are wanted."""
        if (self._closing or self.num_ready > self._wanted) and not member.leaving:
            member.leaving, member.ready = True, False
            self._spawn(member.link.close())
        self._count()
        self._dispatch()

    def _silent_s(self, member: _Member) -> float:
        """From when on it is silent: later where it has more to do than others had."""
        batch_s = max(self._batch_s, self.queue.cost_s(member.given[0].weight))
        return max(self._patience.silent_s, self._patience.silent_batches * batch_s)

    def _count(self) -> None:
        self.queue.num_servers = self.num_ready

    def _dispatch(self, now: float | None = None) -> None:
        self._dispatching = False
        now = time.monotonic() if now is None else now
        while len(self.queue) and (member := self._next(now)) is not None and (jobs := self.queue.take(now)):
            if not member.given:
                member.since = now
            member.given.append(given := _Given(next(self._numbers), jobs, now, _weight(jobs)))
            for job in jobs:
                job.sends += 1
                job.places += 1
            self._instruments.queue_s.observe(now - jobs[0].queued_at)
            member.link.send(Batch(given.number, [job.question for job in jobs]))

    def _next(self, now: float) -> _Member | None:
        """Who is to have what waits; None leaves it waiting."""
        idle, least_s = None, float("inf")
        ahead: tuple[float, _Member] | None = None
        for member in self._members.values():
            if not member.takes:
                continue
            if not member.given:
                idle = member
                continue
            work_s = self.queue.cost_s(sum(given.weight for given in member.given))
            left_s = work_s - (now - member.since)
            least_s = min(least_s, left_s)
            if self._has_little(member, work_s, left_s) and (ahead is None or left_s < ahead[0]):
                ahead = left_s, member
        if idle is not None:
            soon_s = self._admission.soon_s
            return None if 0.0 < least_s < soon_s and self.queue.work_s() < soon_s else idle
        return ahead[1] if ahead is not None and self.queue.is_full else None

    def _has_little(self, member: _Member, work_s: float, left_s: float) -> bool:
        """Enough so to be given a batch ahead. One that may have stopped gets one such, and not all that comes."""
        if member.given[-1].jobs[0].sends > 1:  # what may kill goes alone
            return False
        ahead_s = self._admission.ahead_s
        return work_s <= ahead_s or (len(member.given) == 1 and left_s <= ahead_s)

    def _fell_silent(self, member: _Member, now: float) -> None:
        member.silent, member.since = True, now
        _log.warning("a predictor is silent; its batch goes to another, and another takes its place")
        self._count()
        again = [job for job in member.jobs if job.sends < MAX_SENDS]
        self.queue.join_again(again)
        self._fill_up()
        self._dispatch()

    def _redo(self, member: _Member) -> None:
        """The batches of one that is lost: again what was sent once, unless another has it too.

        It can have begun with the first of them alone; so what else it had was not sent.
        """
        again = []
        for given in list(member.given)[1:]:
            for job in given.jobs:
                job.sends -= 1
        for job in member.jobs:
            job.places -= 1
            if job.settled or job.places > 0:
                continue
            if job.sends >= MAX_SENDS:
                job.settle(LOST)
            elif not member.silent:  # of a silent one it has joined the queue already
                again.append(job)
        member.given.clear()
        self.queue.join_again(again)


def _weight(jobs: list[Job]) -> int:
    return sum(job.question.weight for job in jobs)
