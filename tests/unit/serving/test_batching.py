"""The queue without predictors and without a clock: time is told to it."""

from __future__ import annotations

import pytest

from pileus.serving.batching import PAST_DUE, STOPPED, Admission, Job, Queue, QueueFull
from pileus.serving.connection import Bounds, Connection, Request
from pileus.serving.frames import Kind, Question, Reply


class Asked:
    """A job and what it was answered with."""

    def __init__(self, number: int = 0, *, due: float = 100.0, num_bytes: int = 1, weight: int = 1) -> None:
        self.request = Request(Connection(None, Bounds()), 0.0)  # type: ignore[arg-type]  # it is never asked
        self.replies: list[Reply] = []
        question = Question(Kind.RAW, bytes([number]) * num_bytes, weight=weight)
        self.job = Job(question, self.request, due, lambda job, reply: self.replies.append(reply))


def queue_of(*asked: Asked, admission: Admission | None = None) -> Queue:
    queue = Queue(admission or Admission(max_batch=3))
    for each in asked:
        queue.join(each.job, 0.0)
    return queue


def numbers(jobs: list[Job]) -> list[int]:
    return [job.question.body[0] for job in jobs]


def test_a_batch_is_all_that_waits_up_to_the_cap_in_order() -> None:
    queue = queue_of(*(Asked(number) for number in range(5)))
    assert [numbers(queue.take(0.0)) for _ in range(3)] == [[0, 1, 2], [3, 4], []]


def test_a_batch_is_bounded_by_bytes_but_never_empty() -> None:
    queue = queue_of(*(Asked(number, num_bytes=8) for number in range(3)), admission=Admission(max_batch_bytes=10))
    assert [numbers(queue.take(0.0)) for _ in range(2)] == [[0, 1], [2]]


def test_a_batch_is_bounded_by_weight_and_what_is_heavier_goes_alone() -> None:
    queue = queue_of(*(Asked(number, weight=weight) for number, weight in enumerate((1, 2, 2, 9, 1))))
    assert [numbers(queue.take(0.0)) for _ in range(4)] == [[0, 1], [2], [3], [4]]


def test_the_wait_is_that_of_all_weight_that_waits() -> None:
    queue = Queue(Admission(max_batch=64, max_batch_s=1.0))
    queue.expect(64, 0.01)
    again = Asked(weight=30)
    for each in (Asked(weight=5), again):
        queue.join(each.job, 0.0)
    assert queue.wait_s() == pytest.approx(0.35)
    taken = queue.take(0.0)
    assert queue.wait_s() == 0.0
    queue.join_again(taken)
    assert queue.wait_s() == pytest.approx(0.35)
    queue.settle_all(STOPPED)
    assert queue.wait_s() == 0.0 and len(again.replies) == 1


def test_what_is_past_its_deadline_is_told_and_not_taken() -> None:
    late, early = Asked(1, due=2.0), Asked(2)
    queue = queue_of(late, early)
    assert numbers(queue.take(2.0)) == [2]
    assert late.replies == [PAST_DUE] and early.replies == []


def test_the_overdue_are_told_while_they_wait_and_only_once() -> None:
    late = Asked(1, due=2.0)
    queue = queue_of(late, Asked(2))
    for now in (1.9, 2.0, 3.0):
        queue.tick(now)
    assert late.replies == [PAST_DUE] and numbers(queue.take(3.0)) == [2]


def test_who_has_gone_is_not_computed() -> None:
    gone = Asked(1)
    queue = queue_of(gone, Asked(2))
    gone.request.forget()
    assert numbers(queue.take(0.0)) == [2] and gone.replies == []


def test_the_first_answer_counts() -> None:
    asked = Asked()
    asked.job.settle(Reply(200, b"first"))
    asked.job.settle(Reply(500, b"second"))
    assert [reply.body for reply in asked.replies] == [b"first"]


def test_what_comes_again_is_first_in_its_order_and_alone() -> None:
    again = [Asked(7), Asked(8), Asked(9)]
    for each in again:
        each.job.sends = 1
    again[1].job.settle(STOPPED)
    queue = queue_of(Asked(1), Asked(2))
    queue.join_again(each.job for each in again)
    assert [numbers(queue.take(0.0)) for _ in range(3)] == [[7], [9], [1, 2]]


def test_what_comes_again_does_not_join_those_before_it() -> None:
    again = Asked(7)
    queue = queue_of(Asked(1), again, Asked(2))
    again.job.sends = 1
    assert [numbers(queue.take(0.0)) for _ in range(3)] == [[1], [7], [2]]


def test_a_refusal_comes_before_the_wait_is_too_long() -> None:
    queue = Queue(Admission(max_batch=4, max_wait_s=0.05, max_crowd=0))
    queue.expect(4, 0.01)
    queue.num_servers = 2
    for _ in range(11):
        queue.join(Asked().job, 0.0)
    with pytest.raises(QueueFull) as full:
        queue.join(Asked().job, 0.0)
    assert full.value.wait_s == pytest.approx(0.055)


def test_a_crowd_that_waits_for_its_answers_is_let_in() -> None:
    """Ten users ask again and again: the wait is ten times the short bound, and nobody is refused."""
    queue = Queue(Admission(max_batch=1, max_wait_s=0.01, max_crowd=10))
    queue.expect(1, 0.01)
    for _ in range(10):
        queue.join(Asked().job, 0.0)
    for second in range(20):
        queue.tick(float(second))
        for _ in range(100):
            queue.take(float(second))
            queue.learn(1, 0.01)
            queue.join(Asked().job, float(second))


def test_who_asks_more_than_is_answered_meets_the_short_bound() -> None:
    queue = Queue(Admission(max_batch=1, max_wait_s=0.05, max_crowd=10, crowd_s=3))
    queue.expect(1, 0.01)
    refused = []
    for number in range(600):  # two are asked for one that is answered, a hundred a second
        now = number / 100
        queue.tick(now)
        queue.take(now)
        queue.learn(1, 0.01)
        for _ in range(2):
            try:
                queue.join(Asked().job, now)
            except QueueFull:
                refused.append(number)
    assert 0 < refused[0] < 20 and len(queue) <= 11
    assert len([number for number in refused if number >= 300]) == pytest.approx(300, abs=10)
    queue.tick(20.0)
    queue.tick(21.0)
    queue.tick(22.0)
    for _ in range(10):
        queue.join(Asked().job, 22.0)


def test_a_wait_past_its_own_deadline_is_refused_at_once() -> None:
    queue = Queue(Admission(max_wait_s=10.0))
    queue.expect(64, 0.01)
    for _ in range(5):
        queue.join(Asked().job, 0.0)
    queue.join(Asked(due=1.06).job, 1.0)
    with pytest.raises(QueueFull):
        queue.join(Asked(due=1.05).job, 1.0)


def test_the_queue_is_bounded_also_where_nothing_is_known_of_the_time() -> None:
    queue = queue_of(Asked(), Asked(), admission=Admission(max_queue=2))
    with pytest.raises(QueueFull):
        queue.join(Asked().job, 0.0)


def test_the_cost_is_learnt_from_great_batches_only() -> None:
    queue = Queue(Admission(max_batch=8))
    queue.expect(8, 0.001)
    queue.join(Asked().job, 0.0)
    queue.learn(1, 5.0)
    assert queue.wait_s() == pytest.approx(0.001)
    for _ in range(60):
        queue.learn(8, 0.08)
    assert queue.wait_s() == pytest.approx(0.01, rel=0.01)


def test_a_busy_machine_does_not_close_the_queue_for_good() -> None:
    """What a question costs was driven so high that few are let in; their small batches tell that it was too much."""
    queue = Queue(Admission(max_batch=64, max_crowd=0))
    queue.expect(64, 0.02)
    sizes = []
    for second in range(60):
        with pytest.raises(QueueFull):
            for _ in range(1000):
                queue.join(Asked().job, float(second))
        batch = queue.take(float(second))
        queue.learn(len(batch), 0.001 + 0.0001 * len(batch))
        sizes.append(len(batch))
        queue.settle_all(STOPPED)
    assert sizes[0] < 16 and sizes[-1] == 64


def test_a_batch_takes_no_longer_than_it_may_by_estimate() -> None:
    queue = queue_of(*(Asked(number) for number in range(5)), admission=Admission(max_batch=64, max_batch_s=0.03))
    queue.expect(64, 0.01)
    assert [queue.is_full, numbers(queue.take(0.0)), queue.is_full] == [True, [0, 1, 2], False]
    queue.learn(3, 1.0)
    assert [numbers(queue.take(0.0)) for _ in range(2)] == [[3], [4]]


def test_a_slow_model_gets_smaller_batches() -> None:
    queue = queue_of(*(Asked(number) for number in range(3)), admission=Admission(max_batch=64))
    queue.expect(2, 0.01)
    assert numbers(queue.take(0.0)) == [0, 1]


def test_all_that_wait_are_told_of_the_end() -> None:
    asked = [Asked(), Asked()]
    queue_of(*asked).settle_all(STOPPED)
    assert [each.replies for each in asked] == [[STOPPED], [STOPPED]]
