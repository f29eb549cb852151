"""A run's directory: it outlives every process, and any engine can pick the run up from it.

spec.json, environment.json       how the run was asked for, and where
events/                           what befell it, one numbered document each, put if absent: the number is also the
                                  lock, for of two controllers that append the same number one loses and stops
metrics.jsonl                     figures, a line per epoch
checkpoints/, ledger/             see `pileus.training`
bundle/, report.html, result.json made when training is done
usage.json, usage.html            what workers and hosts used, and the page that `pileus runs plot` made of it
driver.json                       which process drives the run: of several that take it up at once exactly one wins, by
                                  compare-and-swap
driver-after-*.json               where the store has no swap: who took over from a driver that had died
resize.json                       the number of workers that a person wishes for a run under way
"""

from __future__ import annotations

import contextlib
import datetime
import shlex
from typing import Any, TypeVar

import msgspec

from pileus.errors import AlreadyExists, Damaged, NotFound, RunTaken, StoreError, UsageError, VersionConflict
from pileus.runs.driver import Driver, begin_drive, end_drive, this_process
from pileus.spec.job import EpochDone
from pileus.spec.run import RunSpec
from pileus.spec.values import Spec, canonical_json, digest
from pileus.store import Blob, Store, plain_place
from pileus.training.figures import read_figures

_EVENTS = "events/"
_DRIVER = "driver.json"
_ENVIRONMENT = "environment.json"
_RESULT = "result.json"
T = TypeVar("T")


class RunEvent(Spec, frozen=True, kw_only=True):
    """One entry of the event log."""

    number: int
    time: str
    """UTC, ISO 8601."""
    kind: str
    data: dict[str, Any] = msgspec.field(default_factory=dict)


class Plan(Spec, frozen=True, kw_only=True):
    """What is written once, at the start: `spec.json`."""

    name: str
    recipe: str
    spec: RunSpec
    records_uri: str
    """The record set that the workers read."""
    records_fingerprint: str
    pileus_version: str


class RunDirectory:
    """One controller at a time appends; anyone may read."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._next = 0
        self._driver = this_process()

    @property
    def uri(self) -> str:
        return self.store.uri

    @property
    def place(self) -> str:
        """The URI as a person would type it."""
        return plain_place(self.uri)

    @property
    def resume_command(self) -> str:
        """What to type to go on with this run."""
        return f"pileus runs resume {shlex.quote(self.place)}"

    def refuse_taken(self) -> None:
        """UsageError where a run is there already."""
        with contextlib.suppress(NotFound):
            self.store.get("spec.json")
            raise UsageError(
                f"a run exists at {self.place}; choose another --name, or go on with it: {self.resume_command}"
            )

    def create(self, plan: Plan, environment: Spec) -> None:
        """UsageError where a run is there already."""
        self.refuse_taken()
        self.store.put(_ENVIRONMENT, canonical_json(environment))
        try:
            self.store.put("spec.json", canonical_json(plan), if_absent=True)
        except AlreadyExists:
            self.refuse_taken()
            raise

    def plan(self) -> Plan:
        try:
            return self._read("spec.json", Plan, "restore it from a copy")
        except NotFound:
            raise UsageError(f"{self.place} is no run: it has no spec.json; see `pileus runs list`.") from None

    def environment(self) -> dict[str, Any]:
        """Of the machine that the run was begun on; empty where it is not known."""
        with contextlib.suppress(NotFound):
            return self._read(_ENVIRONMENT, dict[str, Any], "delete it: the report goes without")
        return {}

    def drive(self) -> None:
        """Become the run's one controller; RunTaken where a living process of this machine is, or becomes so first.

        Damaged where a document that the run goes on with cannot be read.
        """
        begin_drive(self._driver)
        try:
            self._claim()
            self.epochs()
            events = self.events()
        except BaseException:
            self.release()
            raise
        self._next = events[-1].number + 1 if events else 0

    def driver(self) -> Driver | None:
        """Who drives the run, or died while driving it."""
        with contextlib.suppress(NotFound):
            return self._read(_DRIVER, Driver, "delete it where no pileus drives this run")
        return None

    def release(self) -> None:
        """Let others drive the run, where this one does. What cannot be deleted bars no one."""
        end_drive(self._driver)
        with contextlib.suppress(StoreError, Damaged):
            if self.driver() == self._driver:
                self.store.delete(_DRIVER)

    def _claim(self) -> None:
        own = canonical_json(self._driver)
        try:
            try:
                before = self.store.get(_DRIVER)
                self._refuse_driven(before)
                self._take_over(before, own)
            except NotFound:
                self.store.put(_DRIVER, own, if_absent=True)
        except (AlreadyExists, VersionConflict) as error:
            raise RunTaken(
                f"run {self.place} was taken up by another process at this very moment; leave it to that one."
            ) from error

    def _refuse_driven(self, before: Blob) -> None:
        driver = self._decoded(_DRIVER, before.content, Driver, "delete it where no pileus drives this run")
        if driver.is_alive:
            raise RunTaken(f"run {self.place} is driven by process {driver.pid}, which is alive; stop that one first.")

    def _take_over(self, before: Blob, own: bytes) -> None:
        """From a driver that is dead. AlreadyExists or VersionConflict where another is faster."""
        if self.store.abilities.swap:
            self.store.swap(_DRIVER, own, before.version)
            return
        key = f"driver-after-{digest(before.content)}.json"
        try:
            self.store.put(key, own, if_absent=True)
        except AlreadyExists:
            if self._read(key, Driver, "delete it where no pileus drives this run").is_alive:
                raise
            raise RunTaken(
                f"a process that took up run {self.place} has died at that very moment; delete {key} and try again."
            ) from None
        self.store.put(_DRIVER, own)

    def append(self, kind: str, **data: Any) -> None:
        """RunTaken where another controller has appended since."""
        event = RunEvent(number=self._next, time=datetime.datetime.now(datetime.UTC).isoformat(), kind=kind, data=data)
        key, content = f"{_EVENTS}{self._next:08d}.json", canonical_json(event)
        try:
            self.store.put(key, content, if_absent=True)
        except AlreadyExists:
            if self.store.get(key).content != content:  # else it is ours, whose first answer was lost on its way
                raise RunTaken(f"run {self.place} was taken up by another process; this one stops.") from None
        self._next += 1

    def events(self) -> list[RunEvent]:
        return [self._read(key, RunEvent, "restore it from a copy") for key in self.store.list(_EVENTS)]

    def epochs(self) -> list[EpochDone]:
        """Figures of the epochs that were trained, in order."""
        return read_figures(self.store)

    def write_result(self, result: Spec) -> None:
        self.store.put(_RESULT, canonical_json(result))

    def result(self, kind: type[T]) -> T | None:
        """What `write_result` kept, as a `kind`; None while the run is not done."""
        with contextlib.suppress(NotFound):
            return self._read(_RESULT, kind, f"delete it and make it anew: {self.resume_command}")
        return None

    def _read(self, key: str, kind: type[T], way_out: str) -> T:
        return self._decoded(key, self.store.get(key).content, kind, way_out)

    def _decoded(self, key: str, content: bytes, kind: type[T], way_out: str) -> T:
        try:
            return msgspec.json.decode(content, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Damaged(f"{self.place}/{key} is damaged ({error}); {way_out}.") from error
