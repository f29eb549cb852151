"""Predictors that die, fall silent and come back, by coordinates: links here do what the test says, when it says it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from pileus.errors import WorkFailed
from pileus.serving.batching import LOST, STOPPED, Admission, Job
from pileus.serving.connection import Bounds, Connection, Request
from pileus.serving.crew import Crew, Patience
from pileus.serving.frames import Batch, Kind, Question, Ready, Replies, Reply, Tally
from pileus.serving.instruments import Instruments, no_readings
from pileus.serving.links import Holder

TALLY = Tally(0, (0, 0, 0), [0] * 10, [0] * 10)
IN_FOURS = Admission(max_batch=4, soon_s=0.0)


class Scripted:
    """A link that keeps what it is sent until the test has it answer."""

    can_be_killed = True
    pid = 0

    def __init__(self) -> None:
        self.sent: list[Batch] = []
        self.num_answered = 0
        self.killed = self.closed = False
        self.holder: Holder | None = None

    async def start(self, holder: Holder) -> None:
        self.holder = holder

    def send(self, batch: Batch) -> None:
        self.sent.append(batch)

    def kill(self) -> None:
        self.killed = True

    async def close(self) -> None:
        self.closed = True

    def warm(self, question_s: float = 0.001) -> None:
        assert self.holder is not None
        self.holder.link_ready(self, Ready(4, question_s, 4 * question_s))

    def die(self, reason: str = "it died") -> None:
        assert self.holder is not None
        self.holder.link_lost(self, reason)

    def answer(self) -> None:
        """Each question of the first batch without an answer by its own body."""
        assert self.holder is not None
        batch = self.sent[self.num_answered]
        self.num_answered += 1
        replies = [Reply(200, question.body) for question in batch.questions]
        self.holder.link_replied(self, Replies(batch.number, replies, 0.001, TALLY))

    def bodies(self) -> list[list[bytes]]:
        return [[question.body for question in batch.questions] for batch in self.sent]


class Stage:
    """A crew of scripted links, and the ledger of what was answered to whom."""

    def __init__(self, wanted: int, patience: Patience, admission: Admission) -> None:
        self.links: list[Scripted] = []
        self.failures: list[WorkFailed] = []
        self.ledger: dict[bytes, list[Reply]] = {}
        instruments = Instruments(no_readings())
        self.crew = Crew(self._make, wanted, admission, patience, instruments, self.failures.append)

    def _make(self) -> Scripted:
        self.links.append(Scripted())
        return self.links[-1]

    @property
    def killed(self) -> list[bool]:
        return [link.killed for link in self.links]

    async def warm(self, number: int, question_s: float = 0.001) -> None:
        """The link of this number, once it was started."""
        while len(self.links) <= number or self.links[number].holder is None:
            await asyncio.sleep(0)
        self.links[number].warm(question_s)

    async def ask(self, *names: bytes, weight: int = 1) -> None:
        for name in names:
            request = Request(Connection(None, Bounds()), time.monotonic())  # type: ignore[arg-type]
            self.ledger[name] = []
            job = Job(Question(Kind.RAW, name, weight=weight), request, time.monotonic() + 30, self._note)
            self.crew.submit(job)
        await asyncio.sleep(0)

    def _note(self, job: Job, reply: Reply) -> None:
        self.ledger[job.question.body].append(reply)

    def assert_each_has_its_own_answer(self) -> None:
        assert self.ledger == {name: [Reply(200, name)] for name in self.ledger}

    def silence(self, seconds: float) -> None:
        self.crew.tick(time.monotonic() + seconds)


def play(
    scene: Callable[[Stage], Awaitable[None]],
    *,
    wanted: int = 2,
    patience: Patience | None = None,
    admission: Admission = IN_FOURS,
    question_s: float = 0.001,
) -> None:
    async def whole() -> None:
        stage = Stage(wanted, patience or Patience(), admission)
        starting = asyncio.ensure_future(stage.crew.start())
        for number in range(wanted):
            await stage.warm(number, question_s)
        await starting
        async with asyncio.timeout(10):
            await scene(stage)
        await stage.crew.stop()

    asyncio.run(whole())


def test_what_comes_together_goes_together_and_an_idle_one_takes_the_rest() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ask(b"a", b"b", b"c", b"d", b"e", b"f")
        one, two = sorted(stage.links, key=lambda link: -len(link.sent[0].questions))
        assert one.bodies() == [[b"a", b"b", b"c", b"d"]] and two.bodies() == [[b"e", b"f"]]
        await stage.ask(b"g")
        assert stage.crew.under_way == 7 and len(stage.crew.queue) == 1
        two.answer()
        assert two.bodies()[1:] == [[b"g"]]
        one.answer()
        two.answer()
        stage.assert_each_has_its_own_answer()
        assert stage.crew.under_way == 0

    play(scene)


def test_one_at_work_is_given_another_full_batch_and_no_smaller_one() -> None:
    async def scene(stage: Stage) -> None:
        (link,) = stage.links
        await stage.ask(b"a", b"b", b"c", b"d", b"e", b"f", b"g")
        assert link.bodies() == [[b"a", b"b", b"c", b"d"]]
        await stage.ask(b"h", b"i")
        assert link.bodies()[1:] == [[b"e", b"f", b"g", b"h"]]
        await stage.ask(*(bytes([number]) for number in range(8)))
        assert len(link.sent) == 3  # by then it has work for twelve seconds
        for _ in range(5):
            link.answer()
        stage.assert_each_has_its_own_answer()
        assert stage.crew.under_way == 0

    admission = Admission(max_batch=4, max_batch_s=10.0, max_crowd_wait_s=30.0, soon_s=0.0, ahead_s=9.0)
    play(scene, wanted=1, admission=admission, question_s=1.0)


def test_one_that_has_stopped_is_given_one_batch_ahead_and_no_more() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ask(*(bytes([number]) for number in range(16)))
        first, second = stage.links
        stage.silence(0.1)
        for _ in range(2):
            second.answer()
        assert [len(link.sent) for link in (first, second)] == [2, 2]
        first.answer()
        first.answer()
        stage.assert_each_has_its_own_answer()

    play(scene, admission=Admission(max_batch=4, soon_s=0.0, ahead_s=0.003))


def test_what_was_given_ahead_to_one_that_dies_counts_as_never_given() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ask(*(bytes([number]) for number in range(8)))
        stage.links[0].die()
        await stage.warm(1)
        redone = stage.links[1]
        while stage.crew.under_way:
            redone.answer()
        assert [len(names) for names in redone.bodies()] == [1, 1, 1, 1, 4]
        stage.assert_each_has_its_own_answer()

    play(scene, wanted=1)


def test_nothing_goes_ahead_behind_what_may_kill() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ask(b"poison")
        await stage.ask(*(bytes([number]) for number in range(8)))
        stage.links[0].die()
        await stage.warm(1)
        assert stage.links[1].bodies() == [[b"poison"]]
        stage.links[1].die()
        await stage.warm(2)
        while stage.crew.under_way:
            stage.links[2].answer()
        assert stage.ledger.pop(b"poison") == [LOST]
        stage.assert_each_has_its_own_answer()

    play(scene, wanted=1)


def test_an_idle_one_leaves_a_little_to_another_that_is_about_to_be_done() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ask(b"a")
        busy = next(link for link in stage.links if link.sent)
        idle = next(link for link in stage.links if not link.sent)
        await stage.ask(b"b")
        assert idle.sent == []
        busy.answer()
        assert busy.bodies() == [[b"a"], [b"b"]]
        await stage.ask(b"c")
        stage.silence(0.2)  # by then it should have been done long ago
        assert idle.bodies() == [[b"c"]]
        busy.answer()
        idle.answer()
        stage.assert_each_has_its_own_answer()

    play(scene, admission=Admission(max_batch=4, max_batch_s=10.0, soon_s=5.0))


def test_the_batch_of_one_that_dies_is_redone_one_by_one_by_another() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ask(b"a", b"b", b"c")
        dead = next(link for link in stage.links if link.sent)
        other = next(link for link in stage.links if not link.sent)
        dead.die()
        for number, name in enumerate([b"a", b"b", b"c"]):
            assert other.bodies()[number] == [name]
            other.answer()
        stage.assert_each_has_its_own_answer()
        assert len(stage.links) == 3 and stage.crew.num_ready == 1
        await stage.warm(2)
        assert stage.crew.num_ready == 2

    play(scene)


def test_what_kills_two_predictors_fails_alone() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ask(b"good", b"poison", b"fine")
        stage.links[0].die()
        await stage.warm(1)
        stage.links[1].answer()
        assert stage.links[1].bodies() == [[b"good"], [b"poison"]]
        stage.links[1].die()
        await stage.warm(2)
        stage.links[2].answer()
        assert stage.ledger == {
            b"good": [Reply(200, b"good")],
            b"poison": [LOST],
            b"fine": [Reply(200, b"fine")],
        }

    play(scene, wanted=1)


def test_the_batch_of_a_silent_one_goes_to_another_and_the_first_answer_counts() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ask(b"a")
        silent = next(link for link in stage.links if link.sent)
        other = next(link for link in stage.links if not link.sent)
        stage.silence(0.2)
        assert other.sent == []
        stage.silence(0.3)
        assert other.bodies() == [[b"a"]] and stage.crew.num_ready == 1 and not silent.killed
        other.answer()
        silent.answer()
        stage.assert_each_has_its_own_answer()

    play(scene)


def test_one_that_speaks_again_is_taken_back_and_a_surplus_let_go() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ask(b"a")
        silent = next(link for link in stage.links if link.sent)
        stage.silence(0.3)
        assert len(stage.links) == 3
        silent.answer()
        stage.assert_each_has_its_own_answer()
        assert stage.crew.num_ready == 2
        await stage.warm(2)
        await asyncio.sleep(0)
        assert stage.links[2].closed and stage.crew.num_ready == 2
        stage.links[2].die()
        assert len(stage.links) == 3

    play(scene)


def test_who_has_much_to_do_is_not_silent_so_soon() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ask(b"a", weight=400)  # a question of weight 1 takes a millisecond
        stage.silence(3.9)
        assert stage.crew.num_ready == 2
        stage.silence(4.1)
        assert stage.crew.num_ready == 1
        next(link for link in stage.links if link.sent).answer()
        stage.assert_each_has_its_own_answer()

    play(scene)


def test_one_that_stays_silent_is_killed_and_its_batch_is_redone_once() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ask(b"a")
        stage.silence(0.3)
        stage.silence(3.0)
        assert stage.killed == [False, False]
        stage.silence(3.5)
        assert stage.killed == [True, False]
        stage.links[0].die()
        await stage.warm(1)
        assert stage.links[1].bodies() == [[b"a"]]
        stage.links[1].answer()
        stage.assert_each_has_its_own_answer()

    play(scene, wanted=1)


def test_a_batch_whose_second_predictor_dies_may_still_be_answered_by_the_silent_first() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ask(b"a")
        silent = next(link for link in stage.links if link.sent)
        other = next(link for link in stage.links if not link.sent)
        stage.silence(0.3)
        other.die()
        assert stage.ledger[b"a"] == []
        silent.answer()
        stage.assert_each_has_its_own_answer()

    play(scene)


def test_the_deadline_is_told_while_it_is_computed() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ask(b"a")
        stage.silence(30.1)
        assert [reply.status for reply in stage.ledger[b"a"]] == [504]
        stage.links[0].answer()
        assert len(stage.ledger[b"a"]) == 1

    play(scene, wanted=1)


def test_dying_again_and_again_ends_it() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ask(b"a")
        for number in range(3):
            assert stage.failures == []
            stage.links[number].die()
            if number < 2:
                await stage.warm(number + 1)
        (failure,) = stage.failures
        assert "lost 3 times within 60 s" in str(failure) and "it died" in str(failure)

    play(scene, wanted=1, patience=Patience(losses=2))


def test_one_that_cannot_start_is_told() -> None:
    async def whole() -> None:
        stage = Stage(2, Patience(), IN_FOURS)
        starting = asyncio.ensure_future(stage.crew.start())
        await stage.warm(0)
        while stage.links[1].holder is None:
            await asyncio.sleep(0)
        stage.links[1].die("no room")
        with pytest.raises(WorkFailed, match="no room"):
            await starting
        await stage.crew.stop()
        assert stage.links[0].closed

    asyncio.run(whole())


def test_the_end_answers_everyone() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ask(b"a", b"b", b"c", b"d", b"e")
        await stage.crew.stop()
        assert stage.ledger == {name: [STOPPED] for name in stage.ledger}

    play(scene, wanted=1)
