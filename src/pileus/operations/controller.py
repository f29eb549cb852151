"""The edge of a run's life: it hands events to the state machine and performs what the machine says."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable
from typing import Any

import msgspec

from pileus.data.batches import Batches
from pileus.engines.connect import check_resizable
from pileus.engines.ports import Engine, Launch
from pileus.errors import Damaged, PileusError, StoreError, UsageError
from pileus.operations.observer import Observer
from pileus.operations.signals import StopRequests
from pileus.runs.directory import Plan, RunDirectory
from pileus.runs.history import Spent, spent
from pileus.runs.life import events as e
from pileus.runs.life import states as s
from pileus.runs.life.heartbeats import Attention, Heartbeats
from pileus.runs.life.policies import limits_of
from pileus.runs.life.transitions import Life, deadline_s
from pileus.runs.usage import RunUsage
from pileus.runs.wishes import Wishes
from pileus.spec.job import (
    Beat,
    Cause,
    Checkpointed,
    EpochDone,
    Failed,
    Fault,
    Finished,
    Job,
    Joined,
    Peers,
    Resumed,
    Stop,
    Stopped,
    Used,
    Validated,
)
from pileus.spec.resolve import resolve
from pileus.spec.run import RunSpec
from pileus.training.checkpoint import newest_whole

_LOOK_S = 0.2
_WISH_S = 2.0
"""Between two looks for a wish."""
_THEN = {
    s.Starting: "restart",
    s.Waiting: "restart",
    s.Packing: "pack",
    s.Failed: "fail",
    s.Interrupted: "interrupt",
}
"""How the events of a run call what comes after a gang."""


class Controller:
    """Drives one run once. `pack` makes all that is due when the weights are agreed; it may be cut short anywhere."""

    def __init__(
        self,
        directory: RunDirectory,
        plan: Plan,
        engine: Engine,
        *,
        observer: Observer,
        pack: Callable[[str, Spent], None],
        faults: tuple[Fault, ...] = (),
    ) -> None:
        self._directory = directory
        self._plan = plan
        self._spec: RunSpec = plan.spec
        self._engine = engine
        self._observer = observer
        self._pack = pack
        self._faults = faults
        self._drive_word = secrets.token_hex(16)
        self._limits = limits_of(plan.spec)
        self._life = Life(self._limits)
        self._launch: Launch | None = None
        self._attention = Attention(time.monotonic())
        self._hearts = Heartbeats(plan.spec.engine.silence_deadline_s)
        self._wishes = Wishes(directory.store)
        self._usage = RunUsage(directory.store)
        self._looked_for_wishes_s = 0.0
        self._entered_s = 0.0
        """Of the attention, as all seconds here."""
        self._fingerprint = ""
        self._stops_told = 0
        self._first_attempt = 1

    def drive(self, requests: StopRequests, total_samples: int) -> s.Done | s.Failed | s.Interrupted:
        """Until the run is done, failed or interrupted; no gang is left in any case."""
        attempt = 1 + sum(event.kind == "launch" for event in self._directory.events())
        self._first_attempt = attempt
        try:
            self._take(e.Begin(attempt=attempt))
            while not isinstance(self._life.state, s.TERMINAL):
                self._attention.look(time.monotonic())
                event = (
                    self._asked(requests)
                    or self._happened(requests, total_samples)
                    or self._overdue()
                    or self._wished()
                )
                if event is not None:
                    self._take(event)
        finally:
            if self._launch:
                self._launch.end()
        assert isinstance(self._life.state, s.TERMINAL)
        return self._life.state

    def _asked(self, requests: StopRequests) -> e.StopAsked | None:
        if requests.count == self._stops_told:
            return None
        self._stops_told = requests.count
        return e.StopAsked(reason=requests.reason, is_notice=requests.is_notice)

    def _take(self, event: e.Event) -> None:
        before = self._life.state
        instructions = self._life.take(event)
        if type(self._life.state) is not type(before):
            self._entered_s = self._attention.seconds
            self._note_change(before)
        for instruction in instructions:
            follow_up = self._perform(instruction)
            if follow_up is not None:
                self._take(follow_up)

    def _note_change(self, before: s.State) -> None:
        state = self._life.state
        self._directory.append(type(state).__name__.lower(), **_recorded(state))
        match state:
            case s.Ending(then=s.Starting()) if not isinstance(before, s.Stopping):
                self._observer.say(f"{state.reason}; starting the gang again")
            case s.Ending(then=s.Waiting(wait_s=wait_s)):
                self._observer.say(f"{state.reason}; starting the gang again in {wait_s:g} s")
            case s.Stopping(then=s.Interrupted()):
                self._observer.say(f"{state.reason}: stopping after this step and saving (again: stop at once)")
            case s.Stopping():
                self._observer.say(f"{state.reason}: stopping after this step, saving, and going on")

    def _perform(self, instruction: e.Instruction) -> e.Event | None:
        match instruction:
            case e.LaunchGang():
                self._hearts.begin((), self._attention.seconds)
                try:
                    self._launch = self._launched(instruction.attempt, instruction.workers)
                except StoreError as error:
                    return e.NotLaunched(reason=str(error))
            case e.SendPeers():
                assert self._launch is not None
                self._hearts.begin(range(len(instruction.addresses)), self._attention.seconds)
                self._launch.send(Peers(addresses=instruction.addresses))
            case e.SendStop():
                assert self._launch is not None
                self._launch.send(Stop(reason=instruction.reason))
            case e.EndGang():
                if self._launch is not None:
                    self._launch.end()
                    self._launch = None
                self._usage.save()
                return e.GangGone()
            case e.Pack():
                pass  # `drive` does, where it looks for requests to stop
        return None

    def _launched(self, attempt: int, workers: int) -> Launch:
        checkpoint = newest_whole(self._directory.store, self._observer.say)
        key = checkpoint.key if checkpoint else None
        if attempt > 1:
            self._observer.say(
                f"going on from {key}" if key else "there is no checkpoint to go on from: beginning anew"
            )
        self._directory.append("launch", attempt=attempt, engine=self._engine.name, workers=workers, checkpoint=key)
        job = Job(
            run_uri=self._directory.uri,
            records_uri=self._plan.records_uri,
            spec=msgspec.structs.replace(self._spec, workers=workers),
            attempt=attempt,
            session=secrets.token_hex(16),
            drive=self._drive_word,
            checkpoint=key,
            faults=self._faults,
        )
        launch = self._engine.launch(job)
        if self._engine.dashboard and attempt == self._first_attempt:
            self._observer.say(f"dashboard of {self._engine.name}: {self._engine.dashboard}")
        return launch

    def _happened(self, requests: StopRequests, total_samples: int) -> e.Event | None:
        match self._life.state:
            case s.Packing():
                return self._packed(requests)
            case s.Waiting():
                time.sleep(_LOOK_S)
                return None
            case _:
                return self._next_event(total_samples)

    def _packed(self, requests: StopRequests) -> e.Packed | e.PackFailed | e.StopAsked:
        try:
            with requests.at_once():
                self._pack(self._fingerprint, spent(self._directory.events()))
        except PileusError as error:
            return e.PackFailed(reason=str(error), cause=_cause(error))
        except KeyboardInterrupt:
            self._stops_told = requests.count
            return e.StopAsked(reason=requests.reason)
        return e.Packed()

    def _next_event(self, total_samples: int) -> e.Event | None:
        """The next event for the machine; what only informs is dealt with here."""
        assert self._launch is not None
        said = self._launch.next(_LOOK_S)
        if isinstance(said, (Joined, Beat)):
            self._hearts.hear(said.rank, self._attention.seconds)
        elif isinstance(said, (Finished, Stopped, Failed, e.Lost)):
            self._hearts.forget(said.rank)
        match said:
            case Beat():
                return self._noted_beat(said, total_samples)
            case Used():
                self._usage.note(said.watched)
                return None
            case EpochDone():
                self._note_epoch(said, total_samples)
                return None
            case Validated():
                self._observer.say(f"epoch {said.epoch + 1}  validation {said.accuracy:.2%}")
                return None
            case Resumed():
                self._directory.append("resumed", step=said.step, place=said.place)
                if said.place == "memory":
                    self._observer.say(f"going on after step {said.step}, which was kept in memory")
                return None
            case Finished():
                self._fingerprint = said.fingerprint
            case Checkpointed():
                self._directory.append("checkpoint", key=said.key, step=said.step)
            case Failed() if said.trace:
                self._directory.append("trace", rank=said.rank, trace=said.trace)
        return said

    def _noted_beat(self, beat: Beat, total_samples: int) -> Beat | None:
        """The beat itself where it tells something new of a gang that is not whole."""
        state = self._life.state
        if isinstance(state, s.Starting):
            return beat if state.doing.get(beat.rank) != beat.doing else None
        spec = self._spec
        batches = Batches(
            total_samples // spec.epochs, spec.batch_size, spec.microbatch_size, spec.seed, spec.batch_growth
        )
        self._observer.progress(min(batches.samples_before(beat.epoch, beat.step), total_samples), total_samples)
        return None

    def _overdue(self) -> e.Event | None:
        state, now_s = self._life.state, self._attention.seconds
        if now_s - self._entered_s > deadline_s(state, self._limits):
            return e.DeadlinePassed()
        if isinstance(state, (s.Starting, s.Training)) and self._engine.capabilities.processes:
            silent = self._hearts.silent(now_s)
            if silent is not None:
                return e.Lost(rank=silent[0], cause=f"no sign of life for {silent[1]:.0f} s")
        return None

    def _wished(self) -> e.ResizeAsked | None:
        """Another number of workers, where someone wishes it; a store that cannot tell is asked again later."""
        now_s = self._attention.seconds
        if not isinstance(self._life.state, (s.Training, s.Waiting)) or now_s - self._looked_for_wishes_s < _WISH_S:
            return None
        self._looked_for_wishes_s = now_s
        with contextlib.suppress(StoreError):
            workers = self._wishes.heard()
            if workers is not None:
                try:
                    check_resizable(self._engine.name)
                    resolve(msgspec.to_builtins(msgspec.structs.replace(self._spec, workers=workers)))
                except UsageError as error:
                    self._observer.say(f"not resized: {error}")
                else:
                    return e.ResizeAsked(workers=workers)
        return None

    def _note_epoch(self, done: EpochDone, total_samples: int) -> None:
        self._observer.progress(done.samples, total_samples)
        width = len(str(self._spec.epochs))
        parts = [
            f"epoch {done.epoch + 1:>{width}}/{self._spec.epochs}",
            f"loss {done.train_loss:.4f}",
            f"train {done.train_accuracy:.2%}",
        ]
        if done.validation_accuracy is not None:
            parts.append(f"validation {done.validation_accuracy:.2%}")
        rate = done.samples / (done.epoch + 1) / max(done.seconds, 1e-9)
        self._observer.say("  ".join([*parts, f"{done.seconds:.1f} s", f"{rate:,.0f} samples/s"]))


def _recorded(state: s.State) -> dict[str, Any]:
    """What an event tells of a state that is entered."""
    told: dict[str, Any] = msgspec.to_builtins(state, str_keys=True)
    told |= told.pop("gang", {})
    if isinstance(state, (s.Stopping, s.Ending)):
        told["then"] = _THEN[type(state.then)]
    return {name: value for name, value in told.items() if name != "type" and value not in (None, {}, [])}


def _cause(error: PileusError) -> Cause:
    if isinstance(error, StoreError):
        return "storage"
    return "bad_input" if isinstance(error, (UsageError, Damaged)) else "bug"
