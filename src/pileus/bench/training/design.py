"""Which trials the study of training is made of.

A contender is a model, a strategy and a number of workers. Each is tried once in every round, in an order that is drawn
anew for each: a drift of the machine meets all alike, and contenders are compared within a round.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple, get_args

import msgspec
from msgspec import Meta

from pileus.data.order import permutation
from pileus.data.ports import Source
from pileus.data.sources.open import local_path
from pileus.engines.connect import connect
from pileus.errors import SpecError
from pileus.recipes.load import load_recipe, recipe_names
from pileus.spec.reading import Count
from pileus.spec.resolve import did_you_mean, parse_setting, resolve, split_engine
from pileus.spec.run import RunSpec, Strategy
from pileus.spec.values import Spec

MAX_SECONDS, MAX_DEADLINE_S, MAX_TRIALS = 600.0, 3600.0, 2_000
MAX_EPOCHS = 1000
"""Of one trial, which ends by its seconds long before."""
_SMALLEST_DRAWING = 12
"""Pixels a side below which the smallest network is chosen."""
_START_S, _SLACK = 6.0, 1.4
"""Rough costs of a trial beside its counted seconds, for the forecast of the study's length alone."""


def strategies_by_name() -> dict[str, dict[str, str]]:
    """Every strategy of a spec, a mode each: 'all_reduce:fast' to the settings that choose it."""
    found = {}
    for member in get_args(Strategy):
        tag = str(member.__struct_config__.tag)
        kinds = {field.name: field.type for field in msgspec.structs.fields(member)}
        for mode in get_args(kinds.get("mode")) or (None,):
            found[tag if mode is None else f"{tag}:{mode}"] = {"name": tag} | ({"mode": mode} if mode else {})
    return found


class Request(Spec, frozen=True, kw_only=True):
    """What a study was asked for. SpecError where impossible."""

    source: str
    """A path or URI of labelled images."""
    models: tuple[str, ...]
    """Recipes by name or file, or the networks that they train by name."""
    strategies: tuple[str, ...] = tuple(strategies_by_name())
    """The first that there is with one worker is what the others are compared with."""
    workers: tuple[Count, ...] = (1, 2)
    engine: str = "local"
    settings: tuple[str, ...] = ()
    """NAME=VALUE, laid over every model's recipe."""
    steps: Count = 32
    """Batches of an epoch."""
    seconds: Annotated[float, Meta(gt=0, le=MAX_SECONDS)] = 5.0
    """Of whole epochs that are counted in a trial, at least."""
    rounds: Count = 5
    deadline_s: Annotated[float, Meta(gt=0, le=MAX_DEADLINE_S)] = 300.0
    """For one trial."""

    def __post_init__(self) -> None:
        models = tuple(map(short_name, self.models))
        for name, levels in (("models", models), ("strategies", self.strategies), ("workers", self.workers)):
            if not levels or len(set(levels)) < len(levels):
                shown = ", ".join(map(str, levels)) or "none"
                raise SpecError(f"{name} must be one or more, each once (got {shown}); name each once.")
        for name in self.strategies:
            if name not in strategies_by_name():
                raise SpecError(f"no strategy is called {name!r}; {did_you_mean(name, strategies_by_name())}")

    def told(self) -> Request:
        """Without paths of this machine: a record is read elsewhere."""
        is_path = self.source.startswith(("/", "~", "file:"))
        source = f"DATA/{local_path(self.source).name}" if is_path else self.source
        return msgspec.structs.replace(self, source=source, models=tuple(map(short_name, self.models)))

    def command(self, out: str) -> str:
        """The whole command, every level said."""
        words = ["pileus", "bench", "training", self.source, "--out", out]
        for option, levels in (
            ("--model", self.models),
            ("--strategies", self.strategies),
            ("--workers", self.workers),
            ("--engine", (self.engine,)),
            ("--steps", (self.steps,)),
            ("--seconds", (f"{self.seconds:g}",)),
            ("--rounds", (self.rounds,)),
            ("--deadline-s", (f"{self.deadline_s:g}",)),
        ):
            words += [option, *map(str, levels)]
        for pair in self.settings:
            words += ["--set", pair]
        return shlex.join(words)


def short_name(model: str) -> str:
    """Of a file: without the folders that it lies in."""
    return model.rpartition("/")[2]


class Contender(Spec, frozen=True, kw_only=True):
    model: str
    strategy: str
    workers: Count

    @property
    def label(self) -> str:
        return f"{self.model}, {self.strategy}, {self.workers} worker{'s' if self.workers > 1 else ''}"


class Trial(Spec, frozen=True, kw_only=True):
    """One measurement of a contender."""

    number: int
    """In the order in which they are run, from 0."""
    round: int
    contender: Contender


class Skipped(Spec, frozen=True, kw_only=True):
    """What was asked for and cannot be run."""

    contender: Contender
    reason: str


class Design(NamedTuple):
    specs: dict[Contender, RunSpec]
    """In the order in which they were asked for; the source of their data is filled in by the study."""
    skipped: list[Skipped]
    trials: list[Trial]

    def expected_s(self, request: Request, trials: int) -> float:
        """About how long so many trials take."""
        return trials * (_START_S + _SLACK * request.seconds)


def design_of(request: Request) -> Design:
    """SpecError where a model or an engine is unknown, a setting impossible, or nothing is left to be run."""
    specs: dict[Contender, RunSpec] = {}
    skipped = []
    for model in request.models:
        spec_of(model, "single", 1, request)  # what is wrong with the model is told as that
        for strategy in request.strategies:
            for workers in request.workers if strategy != "single" else (1,):
                contender = Contender(model=short_name(model), strategy=strategy, workers=workers)
                try:
                    spec = spec_of(model, strategy, workers, request)
                    _check_engine(spec)
                except SpecError as error:
                    skipped.append(Skipped(contender=contender, reason=str(error)))
                else:
                    specs[contender] = spec
    if not specs:
        raise SpecError(f"nothing that was asked for can be run: {skipped[0].reason}")
    if len(specs) * request.rounds > MAX_TRIALS:
        raise SpecError(
            f"a study has at most {MAX_TRIALS:,} trials (got {len(specs)} contenders, {request.rounds:,} rounds); "
            "ask for fewer of one of them."
        )
    return Design(specs, skipped, _trials(list(specs), request.rounds))


def _trials(contenders: list[Contender], rounds: int) -> list[Trial]:
    drawn = [(turn, place) for turn in range(rounds) for place in permutation(0, turn, len(contenders)).tolist()]
    return [Trial(number=number, round=turn, contender=contenders[place]) for number, (turn, place) in enumerate(drawn)]


def spec_of(model: str, strategy: str, workers: int, request: Request) -> RunSpec:
    """Of one contender: the model's recipe, so many epochs that its trial ends by time, and nothing that disturbs.

    The rate is tiny, so that no strategy diverges: how fast steps are does not depend on it. Checkpoints go to memory
    alone, and a gang that loses a worker is not started again.
    """
    base = _recipe_of(model)
    engine, address = split_engine(request.engine)
    settings: list[tuple[tuple[str, ...], Any]] = [
        (("epochs",), MAX_EPOCHS),
        (("optimizer", "lr"), 1e-4),
        (("early_stop",), None),
        (("evaluators",), 0),
        (("transfer",), None),
        (("checkpoints", "every_epochs"), MAX_EPOCHS),
        (("checkpoints", "every_s"), None),
        (("checkpoints", "keep_best"), False),
        (("engine", "name"), engine),
        (("engine", "address"), address),
        (("engine", "max_restarts"), 0),
        (("workers",), workers),
        (("data", "source"), request.source),
        *((("strategy", name), value) for name, value in strategies_by_name()[strategy].items()),
        *map(parse_setting, request.settings),
    ]
    return resolve(base, settings)


def _recipe_of(model: str) -> Mapping[str, Any]:
    if model.endswith((".toml", ".json")) or model in recipe_names():
        return load_recipe(model)
    by_network = {str(table["model"]): table for table in map(load_recipe, recipe_names())}
    if model in by_network:
        return by_network[model]
    known = sorted({*by_network, *recipe_names()})
    raise SpecError(
        f"no recipe is called {model!r} or trains such a network; {did_you_mean(model, known)} "
        "Other networks by --set model=NAME."
    )


def _check_engine(spec: RunSpec) -> None:
    engine = connect(spec.engine.name, address=spec.engine.address)
    try:
        known = engine.capabilities.strategies
    finally:
        engine.close()
    if spec.strategy_kind not in known:
        can = ", ".join(sorted(known))
        raise SpecError(f"engine {spec.engine.name!r} cannot run strategy {spec.strategy_kind!r}; it can run: {can}.")


def usual_model(source: Source) -> str:
    """Where the user names none: one that is quick enough to be repeated."""
    known = source.preprocessing
    if known is None:
        return "photos_cnn"
    return "digits_cnn" if min(known.height, known.width) < _SMALLEST_DRAWING else "mnist_cnn"
