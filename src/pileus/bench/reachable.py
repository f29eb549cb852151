"""Which engines of those that a study is asked for can be used here."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from pileus.engines.connect import ENGINES, connect
from pileus.errors import MissingExtra, MissingService, SpecError
from pileus.spec.resolve import did_you_mean, split_engine
from pileus.spec.values import Spec

ABSENT = "cluster"
"""The engine that no study has: its hosts are started by others."""
STUDIED = tuple(name for name in ENGINES if name != ABSENT)


class LeftOut(Spec, frozen=True, kw_only=True):
    """An engine that was asked for and is not here."""

    engine: str
    reason: str


def check_engines(engines: Sequence[str]) -> None:
    """SpecError where one is unknown, or named twice."""
    names = [split_engine(each)[0] for each in engines]
    if not names or len(set(names)) < len(names):
        raise SpecError(f"engines must be one or more, each once (got {', '.join(names) or 'none'}); name each once.")
    for name in names:
        if name not in STUDIED:
            raise SpecError(f"no engine that can be studied is called {name!r}; {did_you_mean(name, STUDIED)}")


def sorted_out(engines: Sequence[str]) -> tuple[list[str], list[LeftOut]]:
    """Those that are here, and of the others why not. Nothing is started.

    MissingExtra or MissingService where none is here.
    """
    here, left_out = [], []
    for each in engines:
        name, address = split_engine(each)
        try:
            with contextlib.closing(connect(name, address=address)):
                here.append(each)
        except (MissingExtra, MissingService) as error:
            left_out.append(LeftOut(engine=name, reason=str(error)))
            if len(left_out) == len(engines):
                raise
    return here, left_out
