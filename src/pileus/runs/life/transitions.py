"""The table of transitions: the code that runs and the picture in the docs are both made from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from pileus.runs.life import events as e
from pileus.runs.life import states as s
from pileus.spec import job as w
from pileus.spec.values import Spec


class Limits(Spec, frozen=True, kw_only=True):
    """What the decisions depend on."""

    workers: int
    max_restarts: int


class Outcome(NamedTuple):
    state: s.State
    instructions: tuple[e.Instruction, ...] = ()


Rule = Callable[[Any, Any, Limits], Outcome]


def _begin(state: s.New, event: e.Begin, limits: Limits) -> Outcome:
    return Outcome(s.Starting(attempt=event.attempt, restarts=0), (e.LaunchGang(attempt=event.attempt),))


def _joined(state: s.Starting, event: w.Joined, limits: Limits) -> Outcome:
    addresses = {**state.addresses, event.rank: event.address}
    if len(addresses) < limits.workers:
        return Outcome(msgspec.structs.replace(state, addresses=addresses))
    peers = tuple(addresses[rank] for rank in range(limits.workers))
    return Outcome(s.Training(attempt=state.attempt, restarts=state.restarts), (e.SendPeers(addresses=peers),))


def _never_whole(state: s.Starting, event: e.DeadlinePassed, limits: Limits) -> Outcome:
    missing = ", ".join(str(rank) for rank in range(limits.workers) if rank not in state.addresses)
    reason = f"the gang was not whole by the start deadline: rank {missing} of {limits.workers} had not reported"
    return _ending(state, "fail", reason)


def _lost(state: s.Starting | s.Training | s.Suspecting, event: e.Lost, limits: Limits) -> Outcome:
    return _restart(state, f"rank {event.rank} was lost: {event.cause}", limits)


def _failed(state: s.Starting | s.Training | s.Suspecting, event: w.Failed, limits: Limits) -> Outcome:
    if event.cause != "peer_lost":
        return _ending(state, "fail", f"rank {event.rank}, step {event.step}: {event.message}")
    if isinstance(state, s.Suspecting):
        return Outcome(state)
    return Outcome(s.Suspecting(attempt=state.attempt, restarts=state.restarts, complaint=event.message))


def _no_other_cause(state: s.Suspecting, event: e.DeadlinePassed, limits: Limits) -> Outcome:
    return _restart(state, state.complaint, limits)


def _restart(state: s.Starting | s.Training | s.Suspecting, reason: str, limits: Limits) -> Outcome:
    if state.restarts >= limits.max_restarts:
        return _ending(state, "fail", f"{reason} (after {state.restarts} restarts without a new checkpoint)")
    return _ending(state, "restart", reason)


def _ending(state: Any, then: Any, reason: str) -> Outcome:
    restarts = getattr(state, "restarts", 0)
    return Outcome(s.Ending(attempt=state.attempt, then=then, restarts=restarts, reason=reason), (e.EndGang(),))


def _checkpointed(state: s.Training, event: w.Checkpointed, limits: Limits) -> Outcome:
    return Outcome(msgspec.structs.replace(state, restarts=0))


def _stay(state: Any, event: Any, limits: Limits) -> Outcome:
    return Outcome(state)


def _finished(state: s.Training, event: w.Finished, limits: Limits) -> Outcome:
    fingerprints = {**state.fingerprints, event.rank: event.fingerprint}
    if len(fingerprints) < limits.workers:
        return Outcome(msgspec.structs.replace(state, fingerprints=fingerprints))
    if len(set(fingerprints.values())) > 1:
        told = ", ".join(f"rank {rank}: {text[:12]}" for rank, text in sorted(fingerprints.items()))
        return _ending(state, "fail", f"the workers ended with different weights ({told})")
    return _ending(state, "pack", "finished")


def _stop_early(state: s.Starting | s.Suspecting, event: e.StopAsked, limits: Limits) -> Outcome:
    return _ending(state, "interrupt", event.reason)


def _stop(state: s.Training, event: e.StopAsked, limits: Limits) -> Outcome:
    return Outcome(s.Stopping(attempt=state.attempt, reason=event.reason), (e.SendStop(reason=event.reason),))


def _stopped(state: s.Stopping, event: w.Stopped, limits: Limits) -> Outcome:
    stopped = state.stopped | {event.rank}
    if len(stopped) < limits.workers:
        return Outcome(msgspec.structs.replace(state, stopped=stopped))
    return _ending(state, "interrupt", state.reason)


def _stop_cut_short(state: s.Stopping, event: e.Event, limits: Limits) -> Outcome:
    """The newest checkpoint before the stop stands."""
    return _ending(state, "interrupt", state.reason)


def _gone(state: s.Ending, event: e.GangGone, limits: Limits) -> Outcome:
    match state.then:
        case "restart":
            attempt = state.attempt + 1
            return Outcome(s.Starting(attempt=attempt, restarts=state.restarts + 1), (e.LaunchGang(attempt=attempt),))
        case "pack":
            return Outcome(s.Packing(attempt=state.attempt), (e.Pack(),))
        case "fail":
            return Outcome(s.Failed(reason=state.reason))
        case "interrupt":
            return Outcome(s.Interrupted(reason=state.reason))


def _interrupt_ending(state: s.Ending, event: e.StopAsked, limits: Limits) -> Outcome:
    return Outcome(msgspec.structs.replace(state, then="interrupt", reason=event.reason))


def _packed(state: s.Packing, event: e.Packed, limits: Limits) -> Outcome:
    return Outcome(s.Done())


def _pack_failed(state: s.Packing, event: e.PackFailed, limits: Limits) -> Outcome:
    return Outcome(s.Failed(reason=event.reason))


def _stop_packing(state: s.Packing, event: e.StopAsked, limits: Limits) -> Outcome:
    return Outcome(s.Interrupted(reason=event.reason))


TRANSITIONS: dict[tuple[type[s.State], type[e.Event]], Rule] = {
    (s.New, e.Begin): _begin,
    (s.Starting, w.Joined): _joined,
    (s.Starting, e.DeadlinePassed): _never_whole,
    (s.Starting, e.Lost): _lost,
    (s.Starting, w.Failed): _failed,
    (s.Starting, e.StopAsked): _stop_early,
    (s.Training, w.Checkpointed): _checkpointed,
    (s.Training, w.Finished): _finished,
    (s.Training, e.Lost): _lost,
    (s.Training, w.Failed): _failed,
    (s.Training, e.StopAsked): _stop,
    (s.Suspecting, e.Lost): _lost,
    (s.Suspecting, w.Failed): _failed,
    (s.Suspecting, e.DeadlinePassed): _no_other_cause,
    (s.Suspecting, w.Checkpointed): _stay,
    (s.Suspecting, w.Finished): _stay,
    (s.Suspecting, w.Joined): _stay,
    (s.Suspecting, e.StopAsked): _stop_early,
    (s.Stopping, w.Stopped): _stopped,
    (s.Stopping, w.Finished): _stop_cut_short,
    (s.Stopping, e.Lost): _stop_cut_short,
    (s.Stopping, w.Failed): _stop_cut_short,
    (s.Stopping, e.DeadlinePassed): _stop_cut_short,
    (s.Stopping, w.Checkpointed): _stay,
    (s.Stopping, e.StopAsked): _stop_cut_short,
    (s.Ending, e.GangGone): _gone,
    (s.Ending, e.Lost): _stay,
    (s.Ending, w.Failed): _stay,
    (s.Ending, w.Finished): _stay,
    (s.Ending, w.Stopped): _stay,
    (s.Ending, w.Joined): _stay,
    (s.Ending, w.Checkpointed): _stay,
    (s.Ending, e.StopAsked): _interrupt_ending,
    (s.Packing, e.Packed): _packed,
    (s.Packing, e.PackFailed): _pack_failed,
    (s.Packing, e.StopAsked): _stop_packing,
}


class Life:
    """A run's state, and the story that led there."""

    def __init__(self, limits: Limits) -> None:
        self.state: s.State = s.New()
        self.story: list[str] = []
        self._limits = limits

    def take(self, event: e.Event) -> tuple[e.Instruction, ...]:
        """The instructions to perform now. An event that cannot happen in this state is a fault of ours."""
        rule = TRANSITIONS.get((type(self.state), type(event)))
        if rule is None:
            told = "\n".join(self.story[-10:])
            raise AssertionError(f"{event!r} cannot happen in {self.state!r}; the story so far:\n{told}")
        before = type(self.state).__name__
        self.state, instructions = rule(self.state, event, self._limits)
        self.story.append(f"{before} + {type(event).__name__} -> {type(self.state).__name__}")
        return instructions
