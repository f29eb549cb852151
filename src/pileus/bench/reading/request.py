"""What a study was asked for, and the command that asks for it."""

from __future__ import annotations

import shlex
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from pileus.bench.reading.design import Factors
from pileus.data.ports import Source
from pileus.data.sources.open import local_path
from pileus.errors import SpecError
from pileus.spec.values import Spec

MAX_DEADLINE_S = 3600.0
_SMALL_BYTES = 64 * 64 * 3
"""Of an image, up to which it counts as small."""


class Request(Spec, frozen=True, kw_only=True):
    """SpecError where impossible."""

    source: str
    """A path or URI of labelled images."""
    factors: Factors
    remote: str | None = None
    """URI below which the sets are copied, for the levels of the store that are remote."""
    deadline_s: Annotated[float, Meta(gt=0, le=MAX_DEADLINE_S)] = 120.0
    """For one trial."""

    def __post_init__(self) -> None:
        if self.remote is None and any(place.remote for place in self.factors.store):
            raise SpecError("a remote store must be named; say --remote URI.")

    def told(self) -> Request:
        """Without paths of this machine: a record is read elsewhere."""
        remote = None if self.remote is None else _without_path(self.remote)
        return msgspec.structs.replace(self, source=_without_path(self.source), remote=remote)


class Usual(NamedTuple):
    """Levels for where the user gives none, so that a trial lasts long enough to be measured, and no longer."""

    pixels: tuple[int, ...]
    batch_size: tuple[int, ...]
    batches: tuple[int, ...]
    image_s: float
    """About what an image costs a core, for the forecast of the study's length."""


def usual_for(source: Source) -> Usual:
    """Photographs also in the size that they are mostly trained in; of small images many, for each takes little."""
    known = source.preprocessing
    if known is None:
        return Usual((0, 224), (16, 64), (2, 8), 1e-3)
    if known.height * known.width * known.channels <= _SMALL_BYTES:
        return Usual((0,), (64, 256), (4, 32), 3e-5)
    return Usual((0,), (16, 64), (2, 8), 1e-3)


def _without_path(place: str) -> str:
    return f"DATA/{local_path(place).name}" if place.startswith(("/", "~", "file:")) else place


def command_of(request: Request, out: str) -> str:
    """The whole command, every level said."""
    factors = request.factors
    latencies = dict.fromkeys(f"{place.latency_ms:g}" for place in factors.store)
    words = ["pileus", "bench", "reading", request.source, "--out", out]
    for option, levels in (
        ("--format", factors.format),
        ("--pixels", factors.pixels),
        ("--batch-size", factors.batch_size),
        ("--batches", factors.batches),
        ("--readers", factors.readers),
        ("--cache", factors.cache),
        ("--latency-ms", tuple(latencies)),
        ("--repetitions", (factors.repetitions,)),
        ("--seed", (factors.seed,)),
        ("--deadline-s", (f"{request.deadline_s:g}",)),
    ):
        words += [option, *map(str, levels)]
    if request.remote is not None:
        words += ["--remote", request.remote]
    return shlex.join(words)
