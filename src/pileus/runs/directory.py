"""A run's directory: it outlives every process, and any engine can pick the run up from it.

spec.json, environment.json       how the run was asked for, and where
events/                           what befell it, one numbered document each, put if absent: the number is also the
                                  lock, for of two controllers that append the same number one loses and stops
metrics.jsonl                     figures, a line per epoch
checkpoints/, ledger/             see `pileus.training`
bundle/, report.html, result.json made when training is done
driver.json                       which process drives the run
"""

from __future__ import annotations

import datetime
from typing import Any

import msgspec

from pileus.errors import AlreadyExists, Damaged, NotFound, RunTaken, UsageError
from pileus.runs.driver import Driver, this_process
from pileus.spec.job import EpochDone
from pileus.spec.run import RunSpec
from pileus.spec.values import Spec, canonical_json
from pileus.store import Store

_EVENTS = "events/"


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

    @property
    def uri(self) -> str:
        return self.store.uri

    def create(self, plan: Plan, environment: Spec) -> None:
        """UsageError where a run is there already."""
        try:
            self.store.put("spec.json", canonical_json(plan), if_absent=True)
        except AlreadyExists:
            raise UsageError(
                f"a run named {plan.name!r} exists at {self.uri}; choose another --name, or go on with it: "
                f"pileus runs resume {self.uri.removeprefix('file:')}"
            ) from None
        self.store.put("environment.json", canonical_json(environment))

    def plan(self) -> Plan:
        try:
            return msgspec.json.decode(self.store.get("spec.json").content, type=Plan)
        except NotFound:
            raise UsageError(f"{self.uri} is no run: it has no spec.json; see `pileus runs list`.") from None
        except msgspec.MsgspecError as error:
            raise Damaged(f"{self.uri}/spec.json is damaged: {error}.") from error

    def drive(self) -> None:
        """Become the run's one controller; RunTaken where a living process of this machine is."""
        try:
            present = self.store.get("driver.json")
        except NotFound:
            pass
        else:
            driver = msgspec.json.decode(present.content, type=Driver)
            if driver.is_alive and driver != this_process():
                raise RunTaken(
                    f"run {self.uri} is driven by process {driver.pid}, which is alive; stop that one first."
                )
        self.store.put("driver.json", canonical_json(this_process()))
        self._next = len(self.store.list(_EVENTS))

    def append(self, kind: str, **data: Any) -> None:
        """RunTaken where another controller has appended since."""
        event = RunEvent(number=self._next, time=datetime.datetime.now(datetime.UTC).isoformat(), kind=kind, data=data)
        try:
            self.store.put(f"{_EVENTS}{self._next:08d}.json", canonical_json(event), if_absent=True)
        except AlreadyExists:
            raise RunTaken(f"run {self.uri} was taken up by another process; this one stops.") from None
        self._next += 1

    def events(self) -> list[RunEvent]:
        return [msgspec.json.decode(self.store.get(key).content, type=RunEvent) for key in self.store.list(_EVENTS)]

    def epochs(self) -> list[EpochDone]:
        """Figures of the epochs that count, in order."""
        try:
            lines = self.store.get("metrics.jsonl").content.splitlines()
        except NotFound:
            return []
        return [msgspec.json.decode(line, type=EpochDone) for line in lines if line]

    def write_epochs(self, epochs: list[EpochDone]) -> None:
        self.store.put("metrics.jsonl", b"".join(msgspec.json.encode(epoch) + b"\n" for epoch in epochs))

    def write_result(self, result: Spec) -> None:
        self.store.put("result.json", canonical_json(result))

    def result(self) -> dict[str, Any] | None:
        """None while the run is not done."""
        try:
            return dict(msgspec.json.decode(self.store.get("result.json").content))
        except NotFound:
            return None
