"""The trainings of a study of fingerprints: one recipe on every engine, by so many workers, and disturbed."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from pileus.bench.reachable import STUDIED, check_engines
from pileus.data.order import permutation
from pileus.data.sources.open import local_path
from pileus.errors import SpecError
from pileus.recipes.load import load_recipe
from pileus.spec.reading import Count
from pileus.spec.resolve import parse_setting, resolve, split_engine
from pileus.spec.run import RunSpec
from pileus.spec.values import Spec

MAX_DEADLINE_S = 3600.0
TRIAL_S = 10.0
"""About what a training takes with its start, for the forecast alone."""
KILLED_WORKERS, MOVED_FROM, MOVED_TO = 2, 2, 3


class Request(Spec, frozen=True, kw_only=True):
    """What a study was asked for. SpecError where impossible."""

    recipe: str = "digits_cnn"
    source: str = ""
    """A path or URI of labelled images; '': the recipe's own."""
    engines: tuple[str, ...] = STUDIED
    """NAME or NAME@ADDRESS."""
    workers: tuple[Count, ...] = (1, 2, 3, 4)
    settings: tuple[str, ...] = ()
    """NAME=VALUE, laid over the recipe and `epochs`."""
    epochs: Annotated[int, Meta(ge=1, le=1000)] = 2
    seed: Annotated[int, Meta(ge=0, le=2**31)] = 0
    """Of the order of the trials."""
    deadline_s: Annotated[float, Meta(gt=0, le=MAX_DEADLINE_S)] = 280.0
    """For one trial."""

    def __post_init__(self) -> None:
        check_engines(self.engines)
        if not self.workers or len(set(self.workers)) < len(self.workers):
            shown = ", ".join(map(str, self.workers)) or "none"
            raise SpecError(f"workers must be one or more, each once (got {shown}); name each once.")

    def told(self) -> Request:
        """Without paths and hosts of this machine: a record is read elsewhere."""
        is_path = self.source.startswith(("/", "~", "file:"))
        return msgspec.structs.replace(
            self,
            recipe=self.recipe.rpartition("/")[2],
            source=f"DATA/{local_path(self.source).name}" if is_path else self.source,
            engines=tuple(split_engine(each)[0] for each in self.engines),
        )

    def command(self, out: str) -> str:
        """The whole command, every level said."""
        words = ["pileus", "bench", "fingerprints", self.recipe, "--out", out]
        words += ["--data", self.source] if self.source else []
        for option, levels in (
            ("--engines", self.engines),
            ("--workers", self.workers),
            ("--epochs", (self.epochs,)),
            ("--seed", (self.seed,)),
            ("--deadline-s", (f"{self.deadline_s:g}",)),
        ):
            words += [option, *map(str, levels)]
        for pair in self.settings:
            words += ["--set", pair]
        return shlex.join(words)

    def spec(self) -> RunSpec:
        """Of one worker on the first engine. SpecError where the recipe or a setting is impossible."""
        settings: list[tuple[tuple[str, ...], Any]] = [(("epochs",), self.epochs), *map(parse_setting, self.settings)]
        if self.source:
            settings.append((("data", "source"), self.source))
        return resolve(load_recipe(self.recipe), [*settings, (("workers",), 1)])


class Trial(Spec, frozen=True, kw_only=True):
    """One training, whole or disturbed."""

    number: int
    """In the order in which they are run, from 0."""
    engine: str
    case: Literal["whole", "killed", "moved"]
    workers: Count
    then: str = ""
    """Of 'moved': the engine that it is finished on, by `MOVED_TO` workers."""

    @property
    def label(self) -> str:
        workers = f"{self.workers} worker{'s' if self.workers > 1 else ''}"
        match self.case:
            case "whole":
                return f"{self.engine}, {workers}"
            case "killed":
                return f"{self.engine}, {workers}, one killed"
            case _:
                return f"{self.engine}, {workers}, then {self.then} with {MOVED_TO}"


def all_trials(request: Request, engines: Sequence[str]) -> list[Trial]:
    """On the engines that are here; each is moved to the next of them, the last to the first."""
    names = [split_engine(each)[0] for each in engines]
    cases = [
        Trial(number=0, engine=name, case="whole", workers=workers) for name in names for workers in request.workers
    ]
    for name, then in zip(names, names[1:] + names[:1], strict=True):
        if then == name:
            then = "fake" if name == "local" else "local"
        cases.append(Trial(number=0, engine=name, case="killed", workers=KILLED_WORKERS))
        cases.append(Trial(number=0, engine=name, case="moved", workers=MOVED_FROM, then=then))
    drawn = permutation(request.seed, 0, len(cases)).tolist()
    return [msgspec.structs.replace(cases[place], number=number) for number, place in enumerate(drawn)]
