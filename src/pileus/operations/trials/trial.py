"""One trial: a run that something befalls, and what must be true of it afterwards."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import msgspec

from pileus.engines.connect import resizes
from pileus.engines.ports import Engine, GangEvent
from pileus.errors import Interrupted, PileusError
from pileus.operations.runs import describe_run, find_run, verify_run
from pileus.operations.train import TrainResult, resume, train
from pileus.operations.trials.apart import Drive, Driven, drive_apart
from pileus.operations.trials.leftovers import left_behind, present
from pileus.operations.trials.network import this_network, why_no_network
from pileus.operations.trials.outcome import Outcome
from pileus.operations.trials.scenarios import EPOCHS, SETTINGS, Damage, Scenario
from pileus.operations.trials.watched import Watched
from pileus.recipes.load import load_recipe
from pileus.runs.directory import RunDirectory
from pileus.runs.wishes import wish_workers
from pileus.spec.job import EpochDone
from pileus.spec.resolve import parse_setting, resolve
from pileus.spec.run import RunSpec
from pileus.store import Store
from pileus.training.checkpoint import list_checkpoints

_HALF_WRITTEN = ".tmp-"
_START_DEADLINE = "engine.start_deadline_s="
_PLACES_START_S = 20.0
_PLACES_TAKE = 3.0


class Bench(NamedTuple):
    """What the trials of an engine share."""

    engine: Engine
    runs: str
    """A folder of runs on this machine."""
    fingerprint: str
    """Of the run that nothing befell."""
    accuracy: float


def spec_of(scenario: Scenario, engine: str) -> RunSpec:
    pairs = (*SETTINGS, f"engine.name={engine}", f"workers={scenario.workers}", *scenario.settings)
    return resolve(load_recipe("digits_cnn"), [parse_setting(pair) for pair in pairs])


def why_not(scenario: Scenario, engine: Engine) -> str | None:
    """Why a trial cannot be held with this engine here; None where it can."""
    if scenario.needs == "places" and not engine.capabilities.places:
        return f"engine {engine.name!r} places nothing; what hosts its workers is the process that drives the run"
    if scenario.needs != "threads" and not engine.capabilities.processes:
        return f"the workers of engine {engine.name!r} are no processes of their own"
    if scenario.is_apart and engine.capabilities.places:
        return _why_not_placed(scenario, engine)
    if scenario.resize is not None and not resizes(engine.name):
        return f"engine {engine.name!r} takes no worker in once a gang has begun"
    strategy = msgspec.to_builtins(spec_of(scenario, engine.name).strategy)["name"]
    if strategy not in engine.capabilities.strategies:
        return f"engine {engine.name!r} cannot run strategy {strategy!r}"
    return why_no_network() if scenario.needs == "network" else None


def _why_not_placed(scenario: Scenario, engine: Engine) -> str:
    if scenario.needs == "network":
        return f"what engine {engine.name!r} places is in the network of its cluster, which is not ours to cut"
    if scenario.runs > 1:
        return f"two drivers of engine {engine.name!r} begin two clusters, or wait for one another's places"
    return f"what engine {engine.name!r} places knows no process of the driver's, and cannot signal it"


def suited(scenario: Scenario, engine: Engine) -> Scenario:
    """Places import torch each for itself, of a cluster that may have to begin: they are given longer."""
    if not engine.capabilities.places:
        return scenario
    settings = scenario.settings
    if any(pair.startswith(_START_DEADLINE) for pair in settings):
        settings = (*settings, f"{_START_DEADLINE}{_PLACES_START_S:g}")
    return msgspec.structs.replace(scenario, settings=settings, deadline_s=_PLACES_TAKE * scenario.deadline_s)


def hold(scenario: Scenario, bench: Bench) -> Outcome:
    """Interrupted where the person who waits has asked for it."""
    scenario = suited(scenario, bench.engine)
    outcome = Outcome(name=scenario.name, about=scenario.about, passed=True, deadline_s=scenario.deadline_s)
    if (reason := why_not(scenario, bench.engine)) is not None:
        return msgspec.structs.replace(outcome, skipped=reason)
    _let_go(bench.engine)
    started, before = time.monotonic(), present()
    trial = _Trial(scenario, bench, started + scenario.deadline_s)
    try:
        trial.hold()
    except Interrupted:
        raise Interrupted(f"interrupted in trial {scenario.name!r}; --only holds some trials again.") from None
    except (PileusError, AssertionError) as error:
        trial.complaints.append(f"{type(error).__name__}: {error}")
    _let_go(bench.engine)
    seconds = time.monotonic() - started
    if seconds > scenario.deadline_s:
        trial.complaints.append(f"it took {seconds:.1f} s of {scenario.deadline_s:g}")
    left = left_behind(before, and_descriptors=not bench.engine.capabilities.places)
    complaints = (*trial.complaints, *left)
    return msgspec.structs.replace(
        outcome, passed=not complaints, seconds=seconds, told=trial.what_was_told(), complaints=complaints
    )


def _let_go(engine: Engine) -> None:
    """A cluster has processes of its own, which come and go as it sees fit; the engine begins another."""
    if engine.capabilities.places:
        engine.close()


class _Trial:
    def __init__(self, scenario: Scenario, bench: Bench, until: float) -> None:
        self.complaints: list[str] = []
        self._scenario = scenario
        self._bench = bench
        self._until = until
        self._spec = spec_of(scenario, bench.engine.name)
        self._names = [scenario.name, *(f"{scenario.name}-{number}" for number in range(2, scenario.runs + 1))]
        self._said: list[str] = []

    def say(self, text: str) -> None:
        """As an observer of the run."""
        self._said.append(text)

    def progress(self, done: int, total: int) -> None:
        return None

    def hold(self) -> None:
        scenario = self._scenario
        for driven in self._apart() if scenario.is_apart else [self._here()]:
            self._said.extend(driven.told.splitlines())
            if driven.end != scenario.ends:
                self.complaints.append(f"the run is {driven.end}, and should be {scenario.ends}")
        for name in self._names:
            run = find_run(name, self._bench.runs)
            if scenario.damage is not None:
                _damage_newest(run.store, scenario.damage)
            self._judge(run, self._finished(run))
            self._said.extend(describe_run(run).story)
        self.complaints += [f"{part!r} was not told" for part in scenario.told if not self._lines_with(part)]

    def what_was_told(self) -> tuple[str, ...]:
        found = [self._lines_with(part) for part in self._scenario.told]
        return tuple(dict.fromkeys(lines[0] for lines in found if lines))

    def _lines_with(self, part: str) -> list[str]:
        return [line for line in self._said if part in line]

    def _here(self) -> Driven:
        scenario = self._scenario
        watched = Watched(self._bench.engine, self._until, self._heard)
        try:
            train(
                self._spec,
                runs=self._bench.runs,
                name=scenario.name,
                engine=watched,
                observer=self,
                faults=scenario.faults,
            )
        except Interrupted:
            raise
        except PileusError as error:
            return Driven("failed", str(error))
        return Driven("done", "")

    def _apart(self) -> list[Driven]:
        scenario = self._scenario
        drives = [
            Drive(
                spec=self._spec,
                runs=self._bench.runs,
                name=name,
                faults=scenario.faults,
                deadline_s=scenario.deadline_s,
                cut_after_epoch=scenario.cut_after_epoch,
                others_network="" if scenario.cut_after_epoch is None else this_network(),
            )
            for name in self._names
        ]
        return drive_apart(drives)

    def _heard(self, event: GangEvent) -> None:
        resize = self._scenario.resize
        if resize is not None and isinstance(event, EpochDone) and event.epoch == resize.after_epoch:
            wish_workers(find_run(self._scenario.name, self._bench.runs).store, resize.workers)

    def _finished(self, run: RunDirectory) -> TrainResult:
        """What the run has come to, if need be by taking it up again."""
        result = run.result(TrainResult)
        if result is not None:
            expected = self._scenario.restarts
            if expected is not None and result.restarts != expected:
                self.complaints.append(f"{result.restarts} gangs were started again, and should be {expected}")
            return result
        watched = Watched(self._bench.engine, self._until)
        return resume(run.uri, engine=watched, workers=self._scenario.resumed_by, observer=self)

    def _judge(self, run: RunDirectory, result: TrainResult) -> None:
        self._judge_weights(result)
        check = verify_run(run)
        self.complaints += check.faults
        if check.epochs_proved != EPOCHS:
            self.complaints.append(f"{check.epochs_proved} of {EPOCHS} epochs are proved by the ledger")
        if check.bundle is None:
            self.complaints.append("there is no bundle")
        folder = Path(self._bench.runs) / result.run
        self.complaints += [f"{path.name} is left half written" for path in folder.rglob(f"{_HALF_WRITTEN}*")]

    def _judge_weights(self, result: TrainResult) -> None:
        band, accuracy, reference = self._scenario.band, result.accuracy, self._bench.accuracy
        if band is None:
            if result.fingerprint != self._bench.fingerprint:
                self.complaints.append("the weights are not those of the run that nothing befell")
        elif accuracy is None or accuracy < reference - band:
            self.complaints.append(f"the accuracy is {accuracy}, and should be within {band:g} of {reference:.4f}")


def _damage_newest(store: Store, damage: Damage) -> None:
    key = f"{list_checkpoints(store)[-1]}/state.safetensors"
    content = bytearray(store.get(key).content)
    match damage.kind:
        case "truncated":
            store.put(key, bytes(content[: len(content) // 2]))
        case "flipped":
            content[len(content) // 2] ^= 1
            store.put(key, bytes(content))
        case "missing":
            store.delete(key)


def fault_free(engine: Engine, runs: str) -> Bench:
    """The run that nothing befalls, by one worker."""
    scenario = Scenario(name="fault-free", about="", workers=1)
    result = train(spec_of(scenario, engine.name), runs=runs, name=scenario.name, engine=engine)
    assert result.accuracy is not None
    return Bench(engine, runs, result.fingerprint, result.accuracy)
