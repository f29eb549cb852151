"""Dead is told from slow, by the listener's own clock and only while it listens."""

from __future__ import annotations

from pileus.runs.life.heartbeats import LONGEST_LOOK_S, Attention, Heartbeats

DEADLINE_S = 20.0


def hearts(*ranks: int) -> Heartbeats:
    one = Heartbeats(DEADLINE_S)
    one.begin(ranks, 0.0)
    return one


def test_silence_counts_from_the_last_sign_and_only_past_the_deadline() -> None:
    one = hearts(0, 1)
    one.hear(0, 15.0)
    one.hear(1, 5.0)
    assert one.silent(25.0) is None
    assert one.silent(25.5) == (1, 20.5)
    one.hear(1, 25.5)
    assert one.silent(34.0) is None


def test_of_several_the_one_that_is_silent_the_longest_is_told() -> None:
    one = hearts(0, 1, 2)
    one.hear(0, 3.0)
    one.hear(1, 2.0)
    one.hear(2, 2.0)
    assert one.silent(60.0) == (1, 58.0)


def test_who_is_slow_but_shows_signs_is_never_silent() -> None:
    """Signs that come three times as seldom, and jitter that wanders from rank to rank."""
    one = hearts(0, 1, 2)
    for second in range(1, 600):
        for rank in range(3):
            late = 1 + 2 * (rank == 2) + 12 * ((second // 17) % 3 == rank)
            if second % late == 0:
                one.hear(rank, float(second))
        assert one.silent(float(second)) is None, second


def test_a_member_counts_from_its_first_sign_and_not_after_its_last_word() -> None:
    one = hearts()
    assert one.silent(100.0) is None
    one.hear(0, 100.0)
    assert one.silent(130.0) == (0, 30.0)
    one.forget(0)
    one.hear(0, 130.0)
    assert one.silent(200.0) is None


def test_another_gang_begins_anew() -> None:
    one = hearts(0)
    one.forget(0)
    one.begin((0, 1), 50.0)
    one.hear(1, 60.0)
    assert one.silent(75.0) == (0, 25.0)


def test_while_the_listener_is_held_up_nobody_falls_silent() -> None:
    attention = Attention(1000.0)
    one = hearts(0)
    for tick in range(50):
        attention.look(1000.0 + 0.2 * tick)
    one.hear(0, attention.seconds)
    attention.look(5000.0)
    assert attention.seconds <= 0.2 * 49 + LONGEST_LOOK_S
    assert one.silent(attention.seconds) is None


def test_attention_is_a_clock_while_it_is_looked_at() -> None:
    attention = Attention(7.0)
    for tick in range(1, 101):
        attention.look(7.0 + 0.25 * tick)
    assert attention.seconds == 25.0
