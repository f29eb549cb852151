"""Which trials the study of engines is made of.

A cell is a data set, a model, an engine, a number of workers and a store. Each is tried once in every round, in an
order that is drawn anew for each.
"""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from pileus.bench.reachable import LeftOut, check_engines, sorted_out
from pileus.bench.training.design import short_name, usual_model
from pileus.data.order import permutation
from pileus.data.ports import Source
from pileus.data.sources.open import local_path
from pileus.errors import SpecError
from pileus.models.registry import NETWORKS, check_network
from pileus.recipes.load import load_recipe, recipe_names
from pileus.spec.neighbours import KNN
from pileus.spec.reading import Count
from pileus.spec.resolve import did_you_mean, parse_setting, resolve, split_engine
from pileus.spec.run import RunSpec
from pileus.spec.values import Spec

MAX_DEADLINE_S, MAX_TRIALS = 3600.0, 2_000
FILES, CNN = "files", "cnn"
USUAL_ENGINES = ("local", "ray", "dask", "spark")
TRIAL_S = 10.0
"""About what a small one takes with its start, for the forecast alone."""
_OF_NEIGHBOURS = ("data", "neighbours", "lanes", "engine")
"""Settings that a classifier by neighbours looks at, by their first word."""


class Request(Spec, frozen=True, kw_only=True):
    """What a study was asked for. SpecError where impossible."""

    data: tuple[str, ...] = ("embedded:digits",)
    """Paths or URIs of labelled images."""
    models: tuple[str, ...] = (KNN, CNN)
    """'knn', 'cnn' (the usual one for the images), a network by name, a recipe by name or file."""
    engines: tuple[str, ...] = USUAL_ENGINES
    """NAME or NAME@ADDRESS."""
    workers: tuple[Count, ...] = (1, 2)
    stores: tuple[str, ...] = (FILES,)
    """'files' of this machine, or a URI below which records and runs are written meanwhile."""
    images: Count | None = None
    """Of each data set, at most; None: all."""
    epochs: Annotated[int, Meta(ge=1, le=1000)] = 4
    """Of what trains by steps."""
    settings: tuple[str, ...] = ()
    """NAME=VALUE, laid over every spec; those that neighbours do not look at, over those of networks alone."""
    rounds: Count = 1
    seed: Annotated[int, Meta(ge=0, le=2**31)] = 0
    """Of the order of the trials."""
    deadline_s: Annotated[float, Meta(gt=0, le=MAX_DEADLINE_S)] = 280.0
    """For one trial."""

    def __post_init__(self) -> None:
        check_engines(self.engines)
        for name, levels in (
            ("data", tuple(map(data_name, self.data))),
            ("models", tuple(map(short_name, self.models))),
            ("workers", self.workers),
            ("stores", tuple(map(store_name, self.stores))),
        ):
            if not levels or len(set(levels)) < len(levels):
                shown = ", ".join(map(str, levels)) or "none"
                raise SpecError(f"{name} must be one or more, each once (got {shown}); name each once.")
        for store in self.stores:
            if store != FILES and ":" not in store:
                raise SpecError(f"a store is 'files' or a URI (got {store!r}); for example s3://bucket/bench.")

    def told(self) -> Request:
        """Without paths and hosts of this machine: a record is read elsewhere."""
        return msgspec.structs.replace(
            self,
            data=tuple(map(data_name, self.data)),
            models=tuple(map(short_name, self.models)),
            engines=tuple(split_engine(each)[0] for each in self.engines),
        )

    def command(self, out: str) -> str:
        """The whole command, every level said."""
        words = ["pileus", "bench", "engines", "--out", out]
        for option, levels in (
            ("--data", self.data),
            ("--models", self.models),
            ("--engines", self.engines),
            ("--workers", self.workers),
            ("--stores", self.stores),
            ("--epochs", (self.epochs,)),
            ("--rounds", (self.rounds,)),
            ("--seed", (self.seed,)),
            ("--deadline-s", (f"{self.deadline_s:g}",)),
        ):
            words += [option, *map(str, levels)]
        words += [] if self.images is None else ["--images", str(self.images)]
        for pair in self.settings:
            words += ["--set", pair]
        return shlex.join(words)


def data_name(source: str) -> str:
    """Without paths of this machine."""
    is_path = source.startswith(("/", "~", ".", "file:")) or ":" not in source
    return local_path(source).name if is_path else source


def store_name(store: str) -> str:
    """'files', or the scheme of its URI."""
    return store.partition(":")[0]


class Cell(Spec, frozen=True, kw_only=True):
    data: str
    model: str
    engine: str
    workers: Count
    store: str

    @property
    def label(self) -> str:
        workers = f"{self.workers} worker{'s' if self.workers > 1 else ''}"
        return f"{self.data}, {self.model}, {self.engine}, {workers}, {self.store}"


class Trial(Spec, frozen=True, kw_only=True):
    """One measurement of a cell."""

    number: int
    """In the order in which they are run, from 0."""
    round: int
    cell: Cell


class Skipped(Spec, frozen=True, kw_only=True):
    """What was asked for and cannot be run."""

    cell: Cell
    reason: str


class Design(NamedTuple):
    specs: dict[Cell, RunSpec]
    """In the order in which they were asked for; the source of their data is filled in by the study."""
    skipped: list[Skipped]
    left_out: list[LeftOut]
    trials: list[Trial]


def design_of(request: Request, sources: Mapping[str, Source]) -> Design:
    """`sources` by what the request calls them.

    SpecError where a model is unknown, or nothing is left to be run; MissingExtra or MissingService where no engine is
    here.
    """
    engines, left_out = sorted_out(request.engines)
    specs: dict[Cell, RunSpec] = {}
    skipped = []
    for data, model in itertools.product(request.data, request.models):
        spec_of(model, sources[data], "local", 1, request)  # what is wrong with the model is told as that
        for engine, workers, store in itertools.product(engines, request.workers, request.stores):
            cell = Cell(
                data=data_name(data),
                model=short_name(model),
                engine=split_engine(engine)[0],
                workers=workers,
                store=store_name(store),
            )
            try:
                spec = spec_of(model, sources[data], engine, workers, request)
                _check_asked(spec)
                _check_size(spec, sources[data])
            except SpecError as error:
                skipped.append(Skipped(cell=cell, reason=str(error)))
            else:
                specs[cell] = spec
    if not specs:
        raise SpecError(f"nothing that was asked for can be run: {skipped[0].reason}")
    if len(specs) * request.rounds > MAX_TRIALS:
        raise SpecError(
            f"a study has at most {MAX_TRIALS:,} trials (got {len(specs)} cells, {request.rounds:,} rounds); "
            "ask for fewer of one of them."
        )
    return Design(specs, skipped, left_out, _trials(list(specs), request))


def _trials(cells: Sequence[Cell], request: Request) -> list[Trial]:
    drawn = [
        (turn, place)
        for turn in range(request.rounds)
        for place in permutation(request.seed, turn, len(cells)).tolist()
    ]
    return [Trial(number=number, round=turn, cell=cells[place]) for number, (turn, place) in enumerate(drawn)]


def spec_of(model: str, source: Source, engine: str, workers: int, request: Request) -> RunSpec:
    """Of one cell, without its data's source. SpecError where the model is unknown or a setting impossible."""
    base = _recipe_of(model, source)
    name, address = split_engine(engine)
    settings: list[tuple[tuple[str, ...], Any]] = []
    given = [parse_setting(pair) for pair in request.settings]
    if base["model"] == KNN:
        settings += [pair for pair in given if pair[0][0] in _OF_NEIGHBOURS]
    else:
        settings += [(("epochs",), request.epochs), *(pair for pair in given if pair[0][0] != "neighbours")]
    settings += [(("engine", "name"), name), (("engine", "address"), address), (("workers",), workers)]
    return resolve(base, settings)


def _recipe_of(model: str, source: Source) -> Mapping[str, Any]:
    if model == CNN:
        return load_recipe(usual_model(source))
    if model.endswith((".toml", ".json")) or model in recipe_names():
        return load_recipe(model)
    if model in NETWORKS:
        return {**load_recipe(usual_model(source)), "model": model}
    known = sorted({CNN, *NETWORKS, *recipe_names()})
    raise SpecError(f"no model or recipe is called {model!r}; {did_you_mean(model, known)}")


def _check_asked(spec: RunSpec) -> None:
    """SpecError where the engine would have nothing to do."""
    if spec.model == KNN and spec.workers == 1 and spec.engine.name != "local":
        raise SpecError(
            "knn by one worker searches in the driver's own process, as with engine local, and asks no other "
            f"(got {spec.engine.name}); give it two or more."
        )


def _check_size(spec: RunSpec, source: Source) -> None:
    """SpecError where the images are known to be too small for the network."""
    known = source.preprocessing
    if known is not None and spec.data.size is None:
        check_network(spec.model, (known.height, known.width))
