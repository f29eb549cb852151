"""The queue before the predictors: who gets in, and what an idle predictor takes.

Greedy: an idle predictor takes all that is queued, up to a cap, at once. Nobody waits for company: alone, a question is
a batch of one; under load, batches grow by themselves. The queue is bounded by the time that it would take to work it
off, so that a refusal comes at once and never late; what is past its deadline or has nobody to answer to is dropped
before it is computed. No I/O and no clock: time is told to it.

The bound depends on who asks. A crowd that asks, waits and asks again is never further ahead of the answers than it
has members: it is let wait, for refusing it helps nobody. Who asks more than is answered, for seconds on end, would
make any queue as long as it may become: then the short bound holds, and those who are let in are answered soon.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from pileus.serving.connection import Request
from pileus.serving.frames import Question, Reply
from pileus.spec.values import Spec

MAX_SENDS = 2
"""Times that one question is given to a predictor: a second time where the first died or fell silent."""
_RECENT = 0.2
"""Weight of the last full batch in the running mean of what a question costs."""
_TELLING = 4
"""Batches of at least a fourth of the cap tell what a question costs under load. A question of a smaller batch costs
more than that; so where it costs less than was believed, that was too much. Else an estimate that a busy machine has
driven up would let in so few that no batch is ever great enough to correct it.
"""

NEVER = float("-inf")


class Admission(Spec, frozen=True, kw_only=True):
    max_batch: int = 64
    """Questions a batch, at most; a heavy one counts as several, and alone may be heavier."""
    max_batch_s: float = 0.02
    """Of a batch by estimate: a longer one would be answered later and no cheaper."""
    max_batch_bytes: int = 4 * 1024 * 1024
    ahead_s: float = 0.01
    """Of the work that a predictor still has, up to which it is given another full batch; NEVER to one at work."""
    soon_s: float = 0.001
    """Of work: an idle predictor leaves less than that to another that still has less than that."""
    max_queue: int = 4096
    """Questions that wait."""
    max_wait_s: float = 0.03
    """The longest estimated wait with which a question is let in under overload; its own deadline may be shorter."""
    max_crowd_wait_s: float = 1.0
    """The same, while no more than a crowd is ahead."""
    max_crowd: int = 1024
    """Overload is to be asked more by so many than was answered, within the last `crowd_s` seconds."""
    crowd_s: int = 8


class QueueFull(Exception):  # noqa: N818 - a state that is answered, not a failure
    """`wait_s`: by when the queue will have been worked off."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"the queue is full for about {wait_s:.3f} s")
        self.wait_s = wait_s


class Job:
    """A question on its way to exactly one answer: the first that comes is given, any other is dropped."""

    __slots__ = ("_settle", "due", "places", "question", "queued_at", "request", "sends", "settled")

    def __init__(self, question: Question, request: Request, due: float, settle: Callable[[Job, Reply], None]) -> None:
        self.question, self.request, self.due = question, request, due
        self._settle = settle
        self.queued_at = request.started
        self.settled = False
        self.sends = 0
        self.places = 0
        """Predictors that have it and may still answer."""

    def settle(self, reply: Reply) -> None:
        if not self.settled:
            self.settled = True
            self._settle(self, reply)


PAST_DUE = Reply(504, b"")
LOST = Reply(500, b"the predictors that computed it died or fell silent")
STOPPED = Reply(503, b"")


class Queue:
    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._jobs: deque[Job] = deque()
        self._weight = 0
        """Of all jobs."""
        self._question_s = 0.0
        self.max_batch = admission.max_batch
        self.num_servers = 1
        """Predictors that take from it."""
        self._asked = self._answered = 0
        self._ahead: deque[int] = deque([0], maxlen=admission.crowd_s)
        """What was asked and not answered, second by second."""
        self._second = 0

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def is_full(self) -> bool:
        """Enough waits for a whole batch, and none of it goes alone."""
        return self._weight >= self._cap and not self._jobs[0].sends

    def wait_s(self) -> float:
        """Estimate for one that would join now."""
        return self.work_s() / max(1, self.num_servers)

    def work_s(self) -> float:
        """Estimate of what waits, for one predictor."""
        return self.cost_s(self._weight)

    def cost_s(self, weight: int) -> float:
        """Estimate for one predictor."""
        return weight * self._question_s

    def join(self, job: Job, now: float) -> None:
        """QueueFull where it would wait too long."""
        self._asked += job.question.weight
        if self._jobs:
            wait_s, admission = self.wait_s(), self._admission
            overload = self._asked - self._answered - self._ahead[0] > admission.max_crowd
            most_s = admission.max_wait_s if overload else admission.max_crowd_wait_s
            if wait_s > min(most_s, job.due - now) or len(self._jobs) >= admission.max_queue:
                raise QueueFull(wait_s)
        self._jobs.append(job)
        self._weight += job.question.weight

    def join_again(self, jobs: Iterable[Job]) -> None:
        """At the front, in their order: they have waited before."""
        again = [job for job in jobs if not job.settled]
        self._jobs.extendleft(reversed(again))
        self._weight += sum(job.question.weight for job in again)

    def take(self, now: float) -> list[Job]:
        """The next batch; empty where nothing waits. What was sent before goes alone: it may be what kills."""
        taken: list[Job] = []
        num_bytes = weight = 0
        cap = self._cap
        while self._jobs and weight < cap and num_bytes < self._admission.max_batch_bytes:
            job = self._jobs[0]
            if taken and (job.sends or weight + job.question.weight > cap):
                break
            self._pop()
            if job.settled or job.request.gone:
                continue
            if now >= job.due:
                job.settle(PAST_DUE)
                continue
            taken.append(job)
            weight += job.question.weight
            num_bytes += len(job.question.body)
            if job.sends:
                break
        return taken

    def tick(self, now: float) -> None:
        """Some times a second: tells what is overdue."""
        if int(now) != self._second:
            self._second = int(now)
            self._ahead.append(self._asked - self._answered)
        for job in self._jobs:
            if now >= job.due:
                job.settle(PAST_DUE)

    def settle_all(self, reply: Reply) -> None:
        while self._jobs:
            self._pop().settle(reply)

    def expect(self, max_batch: int, question_s: float) -> None:
        """What a predictor has found at its start."""
        self.max_batch = min(self._admission.max_batch, max_batch)
        if not self._question_s:
            self._question_s = question_s

    def learn(self, weight: int, batch_s: float) -> None:
        """What a batch took to compute: what the front does meanwhile is none of its cost."""
        self._answered += weight
        question_s = batch_s / weight
        if weight * _TELLING >= self._cap or question_s < self._question_s:
            self._question_s += (question_s - self._question_s) * _RECENT

    @property
    def _cap(self) -> int:
        """Of the weight of a batch."""
        if self.cost_s(self.max_batch) <= self._admission.max_batch_s:
            return self.max_batch
        return max(1, int(self._admission.max_batch_s / self._question_s))

    def _pop(self) -> Job:
        job = self._jobs.popleft()
        self._weight -= job.question.weight
        return job
