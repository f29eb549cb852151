"""The life of a run: the table is whole, and each story ends as it should."""

from __future__ import annotations

import math
import typing

import pytest

from pileus.runs.life import events as e
from pileus.runs.life import states as s
from pileus.runs.life.policies import BLAME, RETRIES, Limits, limits_of
from pileus.runs.life.transitions import TRANSITIONS, Life, deadline_s
from pileus.spec import job as w
from pileus.spec.resolve import resolve

STATES = typing.get_args(s.State)
SPEC = {"model": "digits_cnn", "data": {"source": "embedded:digits"}}
GANG = Limits(workers=2, max_restarts=1)
SHRINKING = Limits(workers=3, max_restarts=3, min_workers=1)
SERVED = Limits(workers=2, servers=1, max_restarts=1, min_workers=1)


def life(*events: e.Event, limits: Limits = GANG) -> Life:
    one = Life(limits)
    for event in events:
        one.take(event)
    return one


def joined(rank: int) -> w.Joined:
    return w.Joined(rank=rank, address=f"host:{rank}")


def finished(rank: int, fingerprint: str = "f") -> w.Finished:
    return w.Finished(rank=rank, step=9, fingerprint=fingerprint)


def stopped(rank: int) -> w.Stopped:
    return w.Stopped(rank=rank, step=4)


def failed(rank: int, cause: w.Cause, message: str = "why") -> w.Failed:
    return w.Failed(rank=rank, step=7, cause=cause, message=message)


def lost(rank: int) -> e.Lost:
    return e.Lost(rank=rank, cause="killed by SIGKILL")


def ending(one: Life) -> s.Ending:
    assert isinstance(one.state, s.Ending)
    return one.state


def following(one: Life) -> s.Gang:
    """The gang that comes after the one that ends."""
    then = ending(one).then
    assert isinstance(then, (s.Starting, s.Waiting))
    return then.gang


TRAINING = (e.Begin(attempt=1), joined(1), joined(0))
THREE = (e.Begin(attempt=1), joined(0), joined(1), joined(2))
KILLED = lost(1)
LEAVING = w.Leaving(rank=1, reason="SIGTERM")
WISH = e.ResizeAsked(workers=4)
NOTICE = e.StopAsked(reason="SIGTERM", is_notice=True)
FULL = failed(0, "storage", "the disk is full")
COMPLAINT = w.Failed(rank=0, step=3, cause="peer_lost", message="rank 0 lost rank 1")
CHECKPOINT = w.Checkpointed(key="c", epoch=1, step=3)
ASKED = e.StopAsked(reason="Ctrl-C")
STORIES: dict[str, tuple[tuple[e.Event, ...], type[s.State]]] = {
    "done": ((*TRAINING, finished(0), finished(1), e.GangGone(), e.Packed()), s.Done),
    "pack fails": (
        (*TRAINING, finished(0), finished(1), e.GangGone(), e.PackFailed(reason="full", cause="storage")),
        s.Failed,
    ),
    "never whole": ((e.Begin(attempt=1), joined(1), e.DeadlinePassed(), e.GangGone()), s.Failed),
    "never whole, as a worker tells": ((e.Begin(attempt=1), joined(1), failed(1, "peer_lost"), e.GangGone()), s.Failed),
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
    "a store that fails is waited for": ((*TRAINING, FULL, e.GangGone()), s.Waiting),
    "a store that failed": ((*TRAINING, FULL, e.GangGone(), e.DeadlinePassed(), joined(0), joined(1)), s.Training),
    "a store that fails again": (
        (*TRAINING, FULL, e.GangGone(), e.DeadlinePassed(), joined(0), joined(1), FULL, e.GangGone()),
        s.Failed,
    ),
    "a store that does not give what to start from": (
        (e.Begin(attempt=1), e.NotLaunched(reason="out of reach"), e.GangGone(), e.DeadlinePassed()),
        s.Starting,
    ),
    "stopped while waiting": ((*TRAINING, FULL, e.GangGone(), ASKED), s.Interrupted),
    "resized": ((*TRAINING, WISH, stopped(0), stopped(1), e.GangGone()), s.Starting),
    "resized while waiting": ((*TRAINING, FULL, e.GangGone(), WISH, e.DeadlinePassed()), s.Starting),
    "resized, and stopped on the way": ((*TRAINING, WISH, ASKED, stopped(0), stopped(1), e.GangGone()), s.Interrupted),
    "a worker leaves": ((*TRAINING, LEAVING, LEAVING, stopped(0), stopped(1), e.GangGone()), s.Starting),
    "a worker leaves, as all do": ((*TRAINING, LEAVING, NOTICE, stopped(0), stopped(1), e.GangGone()), s.Interrupted),
    "a worker leaves before the gang is whole": ((e.Begin(attempt=1), LEAVING, e.GangGone()), s.Starting),
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


def test_who_is_missing_and_with_what_it_is_busy_is_told() -> None:
    beats = [w.Beat(rank=0, epoch=0, step=0, doing=doing) for doing in ("getting ready", "reading records")]
    one = life(e.Begin(attempt=1), joined(1), *beats, e.DeadlinePassed())
    assert ending(one).reason == (
        "the gang was not whole by the start deadline: rank 0 of 2 had not reported (rank 0: reading records)"
    )
    assert ending(life(e.Begin(attempt=1), joined(1), e.DeadlinePassed())).reason.endswith(
        "(rank 0: no sign of life yet)"
    )


def test_of_many_that_are_missing_the_first_are_told_one_by_one() -> None:
    one = life(e.Begin(attempt=1), e.DeadlinePassed(), limits=Limits(workers=64, max_restarts=0))
    assert ending(one).reason.endswith("; rank 7: no sign of life yet; 56 more)")


def test_a_gang_that_cannot_be_whole_goes_on_with_those_that_are_there_where_it_may() -> None:
    one = life(e.Begin(attempt=1), joined(0), joined(2), e.DeadlinePassed(), limits=SHRINKING)
    assert following(one) == s.Gang(attempt=2, workers=2)
    too_few = life(e.Begin(attempt=1), e.DeadlinePassed(), limits=SHRINKING)
    without_server = life(e.Begin(attempt=1), joined(0), joined(1), e.DeadlinePassed(), limits=SERVED)
    for given_up in (too_few, without_server):
        assert isinstance(ending(given_up).then, s.Failed)


def test_servers_are_members_and_stay_when_workers_go() -> None:
    whole = (e.Begin(attempt=1), joined(0), joined(1))
    assert isinstance(life(*whole, limits=SERVED).state, s.Starting)
    training = (*whole, joined(2))
    assert isinstance(life(*training, limits=SERVED).state, s.Training)
    again = (e.GangGone(), joined(0), joined(1), joined(2))
    assert following(life(*training, lost(0), *again, lost(0), limits=SERVED)).workers == 1
    assert isinstance(ending(life(*training, lost(2), *again, lost(2), limits=SERVED)).then, s.Starting)


def test_a_rank_that_is_lost_again_and_again_is_given_up() -> None:
    again = (e.GangGone(), joined(0), joined(1), joined(2))
    once = life(*THREE, lost(1), limits=SHRINKING)
    assert following(once) == s.Gang(attempt=2, workers=3, restarts=1, losses={1: 1})
    another = life(*THREE, lost(1), *again, lost(2), limits=SHRINKING)
    assert following(another) == s.Gang(attempt=3, workers=3, restarts=2, losses={1: 1, 2: 1})
    twice = life(*THREE, lost(1), *again, lost(1), limits=SHRINKING)
    assert following(twice) == s.Gang(attempt=3, workers=2)
    assert "going on with 2 workers" in ending(twice).reason
    between = life(*THREE, lost(1), *again, CHECKPOINT, lost(1), limits=SHRINKING)
    assert following(between).workers == 3


def test_a_gang_shrinks_to_its_least_and_no_further() -> None:
    one = life(*THREE, limits=SHRINKING)
    seen = []
    while not isinstance(one.state, s.Failed):
        one.take(lost(0))
        one.take(e.GangGone())
        if isinstance(one.state, s.Starting):
            seen.append(one.state.gang.workers)
            for rank in range(one.state.gang.workers):
                one.take(joined(rank))
    assert seen == [3, 2, 2, 1, 1, 1, 1]
    assert one.state.reason == "rank 0 was lost: killed by SIGKILL (after 3 restarts without a new checkpoint)"


def test_waits_grow_to_a_bound() -> None:
    waits = [RETRIES["storage"].wait_s(restarts) for restarts in (0, 1, 2, 3, 4, 5, 100)]
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert {RETRIES["peer_lost"].wait_s(restarts) for restarts in range(5)} == {0.0}


def test_a_wait_has_the_deadline_that_its_cause_asks_for() -> None:
    one = life(*TRAINING, FULL, e.GangGone())
    assert deadline_s(one.state, GANG) == 1.0
    assert deadline_s(life(*TRAINING).state, GANG) == math.inf


def test_a_peers_complaint_waits_for_the_cause() -> None:
    died = ending(life(*TRAINING, COMPLAINT, KILLED))
    assert (type(died.then), died.reason) == (s.Starting, "rank 1 was lost: killed by SIGKILL")
    bug = failed(1, "bug")
    for events in ((COMPLAINT, bug, KILLED), (bug, COMPLAINT), (COMPLAINT, COMPLAINT, bug)):
        state = ending(life(*TRAINING, *events))
        assert state.then == s.Failed(reason="rank 1, step 7: why", cause="bug", blame="pileus", rank=1)


def test_a_complaint_without_another_cause_is_the_cause() -> None:
    state = ending(life(*TRAINING, COMPLAINT, COMPLAINT, e.DeadlinePassed()))
    assert (type(state.then), state.reason) == (s.Starting, "rank 0 lost rank 1")


@pytest.mark.parametrize("cause", sorted(set(typing.get_args(w.Cause)) - set(RETRIES)))
def test_what_would_come_again_is_not_tried_again(cause: w.Cause) -> None:
    state = ending(life(*TRAINING, failed(1, cause)))
    assert state.then == s.Failed(reason="rank 1, step 7: why", cause=cause, blame=BLAME[cause], rank=1)


def test_every_cause_is_somebodys_to_mend_and_each_has_some() -> None:
    assert set(BLAME) == set(typing.get_args(w.Cause))
    assert set(BLAME.values()) == {"user", "platform", "pileus"}


def test_a_wish_for_the_present_number_is_none() -> None:
    one = life(*TRAINING)
    assert one.take(e.ResizeAsked(workers=2)) == ()
    assert isinstance(one.state, s.Training)


def test_a_new_gang_after_an_orderly_stop_is_no_restart() -> None:
    resized = life(*TRAINING, WISH, stopped(0), stopped(1))
    assert following(resized) == s.Gang(attempt=2, workers=4)
    left = life(*TRAINING, LEAVING, stopped(0), stopped(1))
    assert following(left) == s.Gang(attempt=2, workers=2)


def test_a_stop_that_was_cut_short_says_that_not_all_is_saved() -> None:
    for event, why in ((KILLED, "rank 1 was lost"), (FULL, "the disk is full"), (e.DeadlinePassed(), "30 s")):
        then = ending(life(*TRAINING, ASKED, event)).then
        assert isinstance(then, s.Interrupted)
        assert then.reason.startswith("Ctrl-C; what followed the newest checkpoint was not saved: ")
        assert why in then.reason


def test_a_notice_leaves_time_to_leave() -> None:
    limits = limits_of(resolve({**SPEC, "workers": 2, "engine": {"notice_s": 25.0}}))
    assert (limits.notice_s, limits.stop_s) == (20.0, 30.0)
    assert deadline_s(life(*TRAINING, NOTICE, limits=limits).state, limits) == 20.0
    assert deadline_s(life(*TRAINING, ASKED, limits=limits).state, limits) == 30.0
    assert limits_of(resolve({**SPEC, "engine": {"notice_s": 4.0}})).notice_s == 2.0


def test_an_impossible_event_tells_the_story() -> None:
    with pytest.raises(AssertionError, match=r"New \+ Begin -> Starting"):
        life(e.Begin(attempt=1)).take(e.Packed())
