"""The life of a run: the table is whole, and each story ends as it should."""

from __future__ import annotations

import typing

import pytest

from pileus.runs.life import events as e
from pileus.runs.life import states as s
from pileus.runs.life.transitions import TRANSITIONS, Life, Limits
from pileus.spec import job as w

STATES = typing.get_args(s.State)
GANG = Limits(workers=2, max_restarts=1)


def life(*events: e.Event) -> Life:
    one = Life(GANG)
    for event in events:
        one.take(event)
    return one


def joined(rank: int) -> w.Joined:
    return w.Joined(rank=rank, address=f"host:{rank}")


def finished(rank: int, fingerprint: str = "f") -> w.Finished:
    return w.Finished(rank=rank, step=9, fingerprint=fingerprint)


def stopped(rank: int) -> w.Stopped:
    return w.Stopped(rank=rank, step=4)


TRAINING = (e.Begin(attempt=1), joined(1), joined(0))
KILLED = e.Lost(rank=1, cause="killed by SIGKILL")
COMPLAINT = w.Failed(rank=0, step=3, cause="peer_lost", message="rank 0 lost rank 1")
CHECKPOINT = w.Checkpointed(key="c", epoch=1, step=3)
ASKED = e.StopAsked(reason="Ctrl-C")
STORIES: dict[str, tuple[tuple[e.Event, ...], type[s.State]]] = {
    "done": ((*TRAINING, finished(0), finished(1), e.GangGone(), e.Packed()), s.Done),
    "pack fails": ((*TRAINING, finished(0), finished(1), e.GangGone(), e.PackFailed(reason="full")), s.Failed),
    "never whole": ((e.Begin(attempt=1), joined(1), e.DeadlinePassed(), e.GangGone()), s.Failed),
    "killed once": ((*TRAINING, KILLED, e.GangGone(), joined(0), joined(1)), s.Training),
    "killed twice": ((*TRAINING, KILLED, e.GangGone(), joined(0), KILLED, e.GangGone()), s.Failed),
    "a checkpoint gives new restarts": (
        (*TRAINING, KILLED, e.GangGone(), joined(0), joined(1), CHECKPOINT, KILLED, e.GangGone()),
        s.Starting,
    ),
    "stopped in order": (
        (*TRAINING, ASKED, stopped(0), stopped(1), e.GangGone()),
        s.Interrupted,
    ),
    "stopped before the gang is whole": ((e.Begin(attempt=1), ASKED, e.GangGone()), s.Interrupted),
    "stop that takes too long": ((*TRAINING, ASKED, e.DeadlinePassed(), e.GangGone()), s.Interrupted),
    "stopped after a complaint": ((*TRAINING, COMPLAINT, ASKED, e.GangGone()), s.Interrupted),
    "stopped twice": ((*TRAINING, ASKED, ASKED, e.GangGone()), s.Interrupted),
    "killed while stopping": ((*TRAINING, ASKED, KILLED, e.GangGone()), s.Interrupted),
    "stopped while ending": ((*TRAINING, KILLED, ASKED, e.GangGone()), s.Interrupted),
    "stopped while packing": ((*TRAINING, finished(0), finished(1), e.GangGone(), ASKED), s.Interrupted),
    "different weights": ((*TRAINING, finished(0, "f"), finished(1, "g"), e.GangGone()), s.Failed),
}


@pytest.mark.parametrize("name", STORIES)
def test_story(name: str) -> None:
    events, end = STORIES[name]
    assert type(life(*events).state) is end


def test_every_state_is_reachable_and_every_open_one_can_be_left() -> None:
    reached = {s.New}
    for events, _ in STORIES.values():
        one = Life(GANG)
        for event in events:
            one.take(event)
            reached.add(type(one.state))  # type: ignore[arg-type]
    assert reached == set(STATES)
    assert {state for state, _ in TRANSITIONS} == set(STATES) - set(s.TERMINAL)


def test_a_stop_and_a_death_can_be_taken_wherever_a_gang_is() -> None:
    for state in (s.Starting, s.Training, s.Suspecting, s.Stopping, s.Ending):
        assert {event for at, event in TRANSITIONS if at is state} >= {e.Lost, w.Failed, e.StopAsked}


def test_the_whole_gang_is_told_its_peers_by_rank() -> None:
    one = life(e.Begin(attempt=1), joined(1))
    assert one.take(joined(0)) == (e.SendPeers(addresses=("host:0", "host:1")),)


def test_who_is_missing_is_told() -> None:
    state = life(e.Begin(attempt=1), joined(1), e.DeadlinePassed()).state
    assert isinstance(state, s.Ending)
    assert "rank 0 of 2 had not reported" in state.reason


def test_a_peers_complaint_waits_for_the_cause() -> None:
    died = life(*TRAINING, COMPLAINT, KILLED).state
    assert isinstance(died, s.Ending)
    assert (died.then, died.reason) == ("restart", "rank 1 was lost: killed by SIGKILL")
    failed = life(*TRAINING, COMPLAINT, w.Failed(rank=1, step=3, cause="storage", message="full")).state
    assert isinstance(failed, s.Ending)
    assert (failed.then, failed.reason) == ("fail", "rank 1, step 3: full")


def test_a_complaint_without_another_cause_is_the_cause() -> None:
    state = life(*TRAINING, COMPLAINT, COMPLAINT, e.DeadlinePassed()).state
    assert isinstance(state, s.Ending)
    assert (state.then, state.reason) == ("restart", "rank 0 lost rank 1")


@pytest.mark.parametrize("cause", ["diverged", "bad_input", "storage", "fault", "bug"])
def test_what_would_come_again_is_not_tried_again(cause: w.Cause) -> None:
    state = life(*TRAINING, w.Failed(rank=1, step=7, cause=cause, message="why")).state
    assert isinstance(state, s.Ending)
    assert (state.then, state.reason) == ("fail", "rank 1, step 7: why")


def test_an_impossible_event_tells_the_story() -> None:
    with pytest.raises(AssertionError, match=r"New \+ Begin -> Starting"):
        life(e.Begin(attempt=1)).take(e.Packed())
