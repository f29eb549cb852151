"""The table of transitions: the code that runs and the picture in the docs are both made from it."""

from __future__ import annotations

import collections
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from msgspec.structs import replace

from pileus.runs.life import events as e
from pileus.runs.life import states as s
from pileus.runs.life.policies import BLAME, LOSSES_TO_SHRINK, RETRIES, Limits
from pileus.spec import job as w

_STORY = 10
_NAMED = 8
"""Missing members that are told one by one."""


class Outcome(NamedTuple):
    state: s.State
    instructions: tuple[e.Instruction, ...] = ()


Rule = Callable[[Any, Any, Limits], Outcome]
Gathered = s.Starting | s.Training | s.Suspecting


def _begin(state: s.New, event: e.Begin, limits: Limits) -> Outcome:
    return _entered(s.Starting(gang=s.Gang(attempt=event.attempt, workers=limits.workers)))


def _not_launched(state: s.Starting, event: e.NotLaunched, limits: Limits) -> Outcome:
    return _again(state, event.reason, "storage", None, limits)


def _joined(state: s.Starting, event: w.Joined, limits: Limits) -> Outcome:
    addresses = {**state.addresses, event.rank: event.address}
    members = _members(state.gang, limits)
    if len(addresses) < members:
        return Outcome(replace(state, addresses=addresses))
    peers = tuple(addresses[rank] for rank in range(members))
    return Outcome(s.Training(gang=state.gang), (e.SendPeers(addresses=peers),))


def _busy(state: s.Starting, event: w.Beat, limits: Limits) -> Outcome:
    return Outcome(replace(state, doing={**state.doing, event.rank: event.doing}))


def _failed_early(state: s.Starting, event: w.Failed, limits: Limits) -> Outcome:
    """A worker whose gang is not whole has no peer to lose: it has waited for the deadline, too."""
    return _never_whole(state, event, limits) if event.cause == "peer_lost" else _failed(state, event, limits)


def _never_whole(state: s.Starting, event: e.DeadlinePassed | w.Failed, limits: Limits) -> Outcome:
    """Fewer workers go on where they may, and where only workers are missing."""
    gang = state.gang
    missing = [rank for rank in range(_members(gang, limits)) if rank not in state.addresses]
    reason = f"the gang was not whole by the start deadline: {_told_missing(state, missing, limits)}"
    present = gang.workers - len(missing)
    may_shrink = limits.min_workers is not None and present >= limits.min_workers
    if may_shrink and all(rank < gang.workers for rank in missing):
        fewer = s.Gang(attempt=gang.attempt + 1, workers=present)
        return _ended(state, f"{reason}; going on with {present} workers", s.Starting(gang=fewer))
    return _given_up(state, reason, "peer_lost", None)


def _told_missing(state: s.Starting, missing: list[int], limits: Limits) -> str:
    ranks = ", ".join(map(str, missing))
    doing = [f"rank {rank}: {state.doing.get(rank) or 'no sign of life yet'}" for rank in missing[:_NAMED]]
    more = [f"{len(missing) - _NAMED} more"] if len(missing) > _NAMED else []
    return f"rank {ranks} of {_members(state.gang, limits)} had not reported ({'; '.join(doing + more)})"


def _lost(state: Gathered, event: e.Lost, limits: Limits) -> Outcome:
    return _again(state, f"rank {event.rank} was lost: {event.cause}", "peer_lost", event.rank, limits)


def _failed(state: Gathered, event: w.Failed, limits: Limits) -> Outcome:
    if event.cause != "peer_lost":
        reason = f"rank {event.rank}, step {event.step}: {event.message}"
        return _again(state, reason, event.cause, event.rank, limits)
    if isinstance(state, s.Suspecting):
        return Outcome(state)
    return Outcome(s.Suspecting(gang=state.gang, complaint=event.message))


def _no_other_cause(state: s.Suspecting, event: e.DeadlinePassed, limits: Limits) -> Outcome:
    return _again(state, state.complaint, "peer_lost", None, limits)


def _leaving_early(state: s.Starting, event: w.Leaving, limits: Limits) -> Outcome:
    return _again(state, _told_leaving(event), "peer_lost", event.rank, limits)


def _leaving(state: s.Training, event: w.Leaving, limits: Limits) -> Outcome:
    """All leave in order and come again, the one who was told to leave in another place."""
    return _renewed(state, _told_leaving(event), state.gang.workers, limits.notice_s)


def _told_leaving(event: w.Leaving) -> str:
    return f"rank {event.rank} is about to be taken away ({event.reason})"


def _again(state: Gathered, reason: str, cause: w.Cause, rank: int | None, limits: Limits) -> Outcome:
    """Another gang after a failure or a loss, as the policies have it; else the run has failed."""
    gang, retry = state.gang, RETRIES.get(cause)
    if retry is None:
        return _given_up(state, reason, cause, rank)
    is_worker = rank is not None and rank < gang.workers
    losses = {**gang.losses, rank: gang.losses.get(rank, 0) + 1} if is_worker and rank is not None else gang.losses
    spent = gang.restarts >= limits.max_restarts
    hopeless = spent or (rank is not None and losses.get(rank, 0) >= LOSSES_TO_SHRINK)
    attempt = gang.attempt + 1
    if cause == "peer_lost" and hopeless and limits.min_workers is not None and gang.workers > limits.min_workers:
        fewer = s.Gang(attempt=attempt, workers=gang.workers - 1)
        return _ended(state, f"{reason}; going on with {fewer.workers} workers", s.Starting(gang=fewer))
    if spent:
        restarts = f"(after {gang.restarts} restarts without a new checkpoint)"
        return _given_up(state, f"{reason} {restarts}", cause, rank)
    following = s.Gang(attempt=attempt, workers=gang.workers, restarts=gang.restarts + 1, losses=losses)
    wait_s = retry.wait_s(gang.restarts)
    if wait_s > 0:
        return _ended(state, reason, s.Waiting(gang=following, reason=reason, wait_s=wait_s))
    return _ended(state, reason, s.Starting(gang=following))


def _given_up(state: Gathered, reason: str, cause: w.Cause, rank: int | None) -> Outcome:
    return _ended(state, reason, s.Failed(reason=reason, cause=cause, blame=BLAME[cause], rank=rank))


def _ended(state: Gathered | s.Stopping, reason: str, then: Any) -> Outcome:
    return Outcome(s.Ending(attempt=state.gang.attempt, reason=reason, then=then), (e.EndGang(),))


def _members(gang: s.Gang, limits: Limits) -> int:
    return gang.workers + limits.servers


def _checkpointed(state: s.Training | s.Suspecting, event: w.Checkpointed, limits: Limits) -> Outcome:
    return Outcome(replace(state, gang=replace(state.gang, restarts=0, losses={})))


def _stay(state: Any, event: Any, limits: Limits) -> Outcome:
    return Outcome(state)


def _finished(state: s.Training, event: w.Finished, limits: Limits) -> Outcome:
    fingerprints = {**state.fingerprints, event.rank: event.fingerprint}
    if len(fingerprints) < _members(state.gang, limits):
        return Outcome(replace(state, fingerprints=fingerprints))
    if len(set(fingerprints.values())) > 1:
        told = ", ".join(f"rank {rank}: {text[:12]}" for rank, text in sorted(fingerprints.items()))
        return _given_up(state, f"the workers ended with different weights ({told})", "bug", None)
    return _ended(state, "finished", s.Packing(attempt=state.gang.attempt))


def _stop_early(state: s.Starting | s.Suspecting, event: e.StopAsked, limits: Limits) -> Outcome:
    return _ended(state, event.reason, s.Interrupted(reason=event.reason))


def _stop_waiting(state: s.Waiting, event: e.StopAsked, limits: Limits) -> Outcome:
    return Outcome(s.Interrupted(reason=event.reason))


def _waited(state: s.Waiting, event: e.DeadlinePassed, limits: Limits) -> Outcome:
    return _entered(s.Starting(gang=state.gang))


def _stop(state: s.Training, event: e.StopAsked, limits: Limits) -> Outcome:
    return _stopping(state, event.reason, _within_s(event, limits), s.Interrupted(reason=event.reason))


def _within_s(event: e.StopAsked, limits: Limits) -> float:
    return limits.notice_s if event.is_notice else limits.stop_s


def _resize(state: s.Training, event: e.ResizeAsked, limits: Limits) -> Outcome:
    if event.workers == state.gang.workers:
        return Outcome(state)
    reason = f"resized from {state.gang.workers} to {event.workers} workers"
    return _renewed(state, reason, event.workers, limits.stop_s)


def _resize_next(state: s.Waiting, event: e.ResizeAsked, limits: Limits) -> Outcome:
    return Outcome(replace(state, gang=replace(state.gang, workers=event.workers, losses={})))


def _renewed(state: s.Training, reason: str, workers: int, within_s: float) -> Outcome:
    following = s.Gang(attempt=state.gang.attempt + 1, workers=workers)
    return _stopping(state, reason, within_s, s.Starting(gang=following))


def _stopping(state: s.Training, reason: str, within_s: float, then: s.Starting | s.Interrupted) -> Outcome:
    stopping = s.Stopping(gang=state.gang, reason=reason, within_s=within_s, then=then)
    return Outcome(stopping, (e.SendStop(reason=reason),))


def _stopped(state: s.Stopping, event: w.Stopped, limits: Limits) -> Outcome:
    stopped = state.stopped | {event.rank}
    if len(stopped) < _members(state.gang, limits):
        return Outcome(replace(state, stopped=stopped))
    return _ended(state, state.reason, state.then)


def _stop_needless(state: s.Stopping, event: w.Finished, limits: Limits) -> Outcome:
    """The last step was done, and saved, before the stop was heard of."""
    return _ended(state, state.reason, state.then)


def _stop_cut_short(state: s.Stopping, event: e.Lost | w.Failed | e.DeadlinePassed, limits: Limits) -> Outcome:
    match event:
        case e.Lost():
            why = f"rank {event.rank} was lost: {event.cause}"
        case w.Failed():
            why = f"rank {event.rank}, step {event.step}: {event.message}"
        case e.DeadlinePassed():
            why = f"it took longer than {state.within_s:g} s"
    reason = f"{state.reason}; what followed the newest checkpoint was not saved: {why}"
    then = s.Interrupted(reason=reason) if isinstance(state.then, s.Interrupted) else state.then
    return _ended(state, reason, then)


def _stop_again(state: s.Stopping, event: e.StopAsked, limits: Limits) -> Outcome:
    """The first request ends what was to be a new gang; the second waits for nothing."""
    then = s.Interrupted(reason=event.reason)
    if isinstance(state.then, s.Interrupted):
        return _ended(state, event.reason, then)
    return Outcome(replace(state, reason=event.reason, within_s=_within_s(event, limits), then=then))


def _gone(state: s.Ending, event: e.GangGone, limits: Limits) -> Outcome:
    return _entered(state.then)


def _entered(state: s.Starting | s.Waiting | s.Packing | s.Failed | s.Interrupted) -> Outcome:
    """A state with what it begins with."""
    match state:
        case s.Starting(gang=gang):
            return Outcome(state, (e.LaunchGang(attempt=gang.attempt, workers=gang.workers),))
        case s.Packing():
            return Outcome(state, (e.Pack(),))
        case _:
            return Outcome(state)


def _interrupt_ending(state: s.Ending, event: e.StopAsked, limits: Limits) -> Outcome:
    return Outcome(replace(state, reason=event.reason, then=s.Interrupted(reason=event.reason)))


def _packed(state: s.Packing, event: e.Packed, limits: Limits) -> Outcome:
    return Outcome(s.Done())


def _pack_failed(state: s.Packing, event: e.PackFailed, limits: Limits) -> Outcome:
    return Outcome(s.Failed(reason=event.reason, cause=event.cause, blame=BLAME[event.cause]))


def _stop_packing(state: s.Packing, event: e.StopAsked, limits: Limits) -> Outcome:
    return Outcome(s.Interrupted(reason=event.reason))


TRANSITIONS: dict[tuple[type[s.State], type[e.Event]], Rule] = {
    (s.New, e.Begin): _begin,
    (s.Starting, e.NotLaunched): _not_launched,
    (s.Starting, w.Joined): _joined,
    (s.Starting, w.Beat): _busy,
    (s.Starting, w.Leaving): _leaving_early,
    (s.Starting, e.DeadlinePassed): _never_whole,
    (s.Starting, e.Lost): _lost,
    (s.Starting, w.Failed): _failed_early,
    (s.Starting, e.StopAsked): _stop_early,
    (s.Training, w.Leaving): _leaving,
    (s.Training, w.Checkpointed): _checkpointed,
    (s.Training, w.Finished): _finished,
    (s.Training, e.Lost): _lost,
    (s.Training, w.Failed): _failed,
    (s.Training, e.StopAsked): _stop,
    (s.Training, e.ResizeAsked): _resize,
    (s.Suspecting, e.Lost): _lost,
    (s.Suspecting, w.Failed): _failed,
    (s.Suspecting, e.DeadlinePassed): _no_other_cause,
    (s.Suspecting, w.Checkpointed): _checkpointed,
    (s.Suspecting, w.Finished): _stay,
    (s.Suspecting, w.Joined): _stay,
    (s.Suspecting, w.Leaving): _stay,
    (s.Suspecting, e.StopAsked): _stop_early,
    (s.Waiting, e.DeadlinePassed): _waited,
    (s.Waiting, e.StopAsked): _stop_waiting,
    (s.Waiting, e.ResizeAsked): _resize_next,
    (s.Stopping, w.Stopped): _stopped,
    (s.Stopping, w.Finished): _stop_needless,
    (s.Stopping, w.Leaving): _stay,
    (s.Stopping, e.Lost): _stop_cut_short,
    (s.Stopping, w.Failed): _stop_cut_short,
    (s.Stopping, e.DeadlinePassed): _stop_cut_short,
    (s.Stopping, w.Checkpointed): _stay,
    (s.Stopping, e.StopAsked): _stop_again,
    (s.Ending, e.GangGone): _gone,
    (s.Ending, e.Lost): _stay,
    (s.Ending, w.Failed): _stay,
    (s.Ending, w.Finished): _stay,
    (s.Ending, w.Stopped): _stay,
    (s.Ending, w.Joined): _stay,
    (s.Ending, w.Leaving): _stay,
    (s.Ending, w.Checkpointed): _stay,
    (s.Ending, e.StopAsked): _interrupt_ending,
    (s.Packing, e.Packed): _packed,
    (s.Packing, e.PackFailed): _pack_failed,
    (s.Packing, e.StopAsked): _stop_packing,
}


def deadline_s(state: s.State, limits: Limits) -> float:
    """Seconds in a state after which `DeadlinePassed` happens."""
    match state:
        case s.Starting():
            return limits.start_s
        case s.Suspecting():
            return limits.suspicion_s
        case s.Waiting(wait_s=wait_s):
            return wait_s
        case s.Stopping(within_s=within_s):
            return within_s
        case _:
            return math.inf


class Life:
    """A run's state, and the story that led there."""

    def __init__(self, limits: Limits) -> None:
        self.state: s.State = s.New()
        self.story: collections.deque[str] = collections.deque(maxlen=_STORY)
        """The last transitions."""
        self._limits = limits

    def take(self, event: e.Event) -> tuple[e.Instruction, ...]:
        """The instructions to perform now. An event that cannot happen in this state is a fault of ours."""
        rule = TRANSITIONS.get((type(self.state), type(event)))
        if rule is None:
            told = "\n".join(self.story)
            raise AssertionError(f"{event!r} cannot happen in {self.state!r}; the story so far:\n{told}")
        before = type(self.state).__name__
        self.state, instructions = rule(self.state, event, self._limits)
        self.story.append(f"{before} + {type(event).__name__} -> {type(self.state).__name__}")
        return instructions
