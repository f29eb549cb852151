"""The edge of a run's life: it hands events to the state machine and performs what the machine says."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from pileus.engines.ports import Engine, Launch
from pileus.errors import PileusError
from pileus.operations.observer import Observer
from pileus.operations.signals import StopRequests
from pileus.runs.directory import Plan, RunDirectory
from pileus.runs.life import events as e
from pileus.runs.life import states as s
from pileus.runs.life.transitions import Life, Limits
from pileus.spec.job import Beat, Checkpointed, EpochDone, Failed, Fault, Finished, Job, Peers, Stop
from pileus.spec.run import RunSpec
from pileus.training.checkpoint import newest_whole

_LOOK_S = 0.2
_STOP_DEADLINE_S = 30.0
_CAUSE_DEADLINE_S = 2.0
"""How long after a worker's complaint of a lost peer the peer's own end may take to be told."""


class Spent(NamedTuple):
    """What the training of a run took, in this drive."""

    training_s: float
    startup_s: float
    restarts: int


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
        self._life = Life(Limits(workers=plan.spec.gang_size, max_restarts=plan.spec.engine.max_restarts))
        self._launch: Launch | None = None
        self._heard: dict[int, float] = {}
        self._fingerprint = ""
        self._seconds: dict[str, float] = {}
        self._entered = time.monotonic()
        self._restarts = 0
        self._stops_told = 0

    def drive(self, requests: StopRequests, total_samples: int) -> s.Done | s.Failed | s.Interrupted:
        """Until the run is done, failed or interrupted; no gang is left in any case."""
        attempt = 1 + sum(event.kind == "launch" for event in self._directory.events())
        try:
            self._take(e.Begin(attempt=attempt))
            while not isinstance(self._life.state, s.TERMINAL):
                event: e.Event | None = self._stop_asked(requests)
                if event is None:
                    packing = isinstance(self._life.state, s.Packing)
                    event = self._packed(requests) if packing else self._next_event(total_samples)
                if event is not None:
                    self._take(event)
        finally:
            if self._launch:
                self._launch.end()
        assert isinstance(self._life.state, s.TERMINAL)
        return self._life.state

    def _stop_asked(self, requests: StopRequests) -> e.StopAsked | None:
        if requests.count == self._stops_told:
            return None
        self._stops_told = requests.count
        return e.StopAsked(reason=requests.reason)

    def _take(self, event: e.Event) -> None:
        before = self._life.state
        instructions = self._life.take(event)
        if type(self._life.state) is not type(before):
            now = time.monotonic()
            name = type(before).__name__
            self._seconds[name] = self._seconds.get(name, 0.0) + now - self._entered
            self._entered = now
            self._note_change(before)
        for instruction in instructions:
            follow_up = self._perform(instruction)
            if follow_up is not None:
                self._take(follow_up)

    def _note_change(self, before: s.State) -> None:
        state = self._life.state
        told = msgspec.to_builtins(state)
        told.pop("type", None)
        self._directory.append(type(state).__name__.lower(), **told)
        if isinstance(state, s.Ending) and state.then == "restart":
            self._restarts += 1
            self._observer.say(f"{state.reason}; starting the gang again")
        if isinstance(state, s.Stopping):
            self._observer.say(f"{state.reason}: stopping after this step and saving (again: stop at once)")

    def _perform(self, instruction: e.Instruction) -> e.Event | None:
        match instruction:
            case e.LaunchGang():
                self._launch = self._launched(instruction.attempt)
            case e.SendPeers():
                assert self._launch is not None
                self._heard = dict.fromkeys(range(self._spec.gang_size), time.monotonic())
                self._launch.send(Peers(addresses=instruction.addresses))
            case e.SendStop():
                assert self._launch is not None
                self._launch.send(Stop(reason=instruction.reason))
            case e.EndGang():
                assert self._launch is not None
                self._launch.end()
                self._launch = None
                return e.GangGone()
            case e.Pack():
                pass  # `drive` does, where it looks for requests to stop
        return None

    def _packed(self, requests: StopRequests) -> e.Packed | e.PackFailed | e.StopAsked:
        training_s = self._seconds.get("Training", 0.0) + self._seconds.get("Stopping", 0.0)
        spent = Spent(training_s, self._seconds.get("Starting", 0.0), self._restarts)
        try:
            with requests.at_once():
                self._pack(self._fingerprint, spent)
        except PileusError as error:
            return e.PackFailed(reason=str(error))
        except KeyboardInterrupt:
            self._stops_told = requests.count
            return e.StopAsked(reason=requests.reason)
        return e.Packed()

    def _launched(self, attempt: int) -> Launch:
        checkpoint = newest_whole(self._directory.store, self._observer.say)
        key = checkpoint.key if checkpoint else None
        if attempt > 1:
            self._observer.say(
                f"going on from {key}" if key else "there is no checkpoint to go on from: beginning anew"
            )
        self._directory.append(
            "launch", attempt=attempt, engine=self._engine.name, workers=self._spec.workers, checkpoint=key
        )
        job = Job(
            run_uri=self._directory.uri,
            records_uri=self._plan.records_uri,
            spec=self._spec,
            attempt=attempt,
            session=secrets.token_hex(16),
            drive=self._drive_word,
            checkpoint=key,
            faults=self._faults,
        )
        return self._engine.launch(job)

    def _next_event(self, total_samples: int) -> e.Event | None:
        """The next event for the machine; what only informs is dealt with here."""
        assert self._launch is not None
        said = self._launch.next(_LOOK_S)
        if said is None:
            return self._overdue()
        if not isinstance(said, (EpochDone, Checkpointed)):
            self._heard[said.rank] = time.monotonic()
        match said:
            case Beat():
                self._observer.progress(min(said.step * self._spec.batch_size, total_samples), total_samples)
                return None
            case EpochDone():
                self._note_epoch(said, total_samples)
                return None
            case Finished():
                self._fingerprint = said.fingerprint
            case Checkpointed():
                self._directory.append("checkpoint", key=said.key, step=said.step)
            case Failed() if said.trace:
                self._directory.append("trace", rank=said.rank, trace=said.trace)
        return said

    def _overdue(self) -> e.Event | None:
        state, now = self._life.state, time.monotonic()
        in_state = now - self._entered
        deadlines_s = {
            s.Starting: self._spec.engine.start_deadline_s,
            s.Suspecting: _CAUSE_DEADLINE_S,
            s.Stopping: _STOP_DEADLINE_S,
        }
        if in_state > deadlines_s.get(type(state), math.inf):
            return e.DeadlinePassed()
        if isinstance(state, s.Training) and self._engine.capabilities.processes:
            for rank, heard in self._heard.items():
                if rank not in state.fingerprints and now - heard > self._spec.engine.silence_deadline_s:
                    return e.Lost(rank=rank, cause=f"no sign of life for {now - heard:.0f} s")
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
