"""Which trials the study of serving is made of.

First a crowd that never pauses finds what the server can do; rates of the open loop are shares of that. Then every
level is tried once in every round, in an order that is drawn anew for each, against a fresh server each time.
"""

from __future__ import annotations

import shlex
from pathlib import PurePath
from typing import Annotated

import msgspec
from msgspec import Meta

from pileus.bench.serving.bodies import Kind
from pileus.bench.serving.load import MAX_CONNECTIONS, SATURATING, Arrivals, Users
from pileus.data.order import permutation
from pileus.data.sources.open import local_path
from pileus.errors import SpecError
from pileus.spec.reading import Count
from pileus.spec.values import Spec

MAX_TRIALS, MAX_SECONDS, MAX_SHARE, MAX_PAUSE_S = 2_000, 600.0, 20.0, 60.0
WARM_S = 1.0
_START_S = 3.0
"""Rough cost of a trial beside its counted seconds, for the forecast of the study's length alone."""

Share = Annotated[float, Meta(gt=0, le=MAX_SHARE)]
Pause = Annotated[float, Meta(ge=0, le=MAX_PAUSE_S)]


class Saturation(Spec, tag="saturation", frozen=True, kw_only=True):
    """Users who never pause: how many answers a second there can be."""

    @property
    def label(self) -> str:
        return f"saturation ({SATURATING.users} users without a pause)"


class Crowd(Spec, tag="crowd", frozen=True, kw_only=True):
    """So many users, each of whom waits for his answer."""

    users: Annotated[int, Meta(ge=1, le=MAX_CONNECTIONS)]
    think_s: Pause

    @property
    def label(self) -> str:
        return f"{self.users:,} users, " + (f"pause {self.think_s:g} s" if self.think_s else "without a pause")


class Stream(Spec, tag="stream", frozen=True, kw_only=True):
    """Requests that come at a rate, whether or not those before are answered."""

    share: Share
    """Of the saturation."""

    @property
    def label(self) -> str:
        return f"{self.share:g} x saturation"


Level = Saturation | Crowd | Stream


class Cell(Spec, frozen=True, kw_only=True):
    """What is tried once a round."""

    body: Kind
    level: Level

    @property
    def label(self) -> str:
        return f"{self.body}, {self.level.label}"


class Trial(Spec, frozen=True, kw_only=True):
    number: int
    """In the order in which they are run, from 0."""
    round: int
    cell: Cell


class Request(Spec, frozen=True, kw_only=True):
    """What a study was asked for. SpecError where impossible."""

    bundle: str | None = None
    """A path or URI of a bundle or a run; None: a small model of the embedded drawings, trained for the study."""
    data: str | None = None
    """A source of pictures for raw and PNG bodies; None: the embedded drawings."""
    bodies: tuple[Kind, ...]
    users: tuple[int, ...] = (10, 25, 50, 1000)
    think_s: tuple[Pause, ...] = (0.0, 1.0)
    shares: tuple[Share, ...] = (0.1, 0.3, 0.5, 0.7, 0.9, 1.0, 1.2, 1.5, 3.0)
    processes: Count | None = None
    """`pileus serve --processes`; None: as it does by itself."""
    seconds: Annotated[float, Meta(gt=0, le=MAX_SECONDS)] = 5.0
    """That are counted in a trial."""
    rounds: Count = 3

    def __post_init__(self) -> None:
        for name in ("bodies", "users", "think_s", "shares"):
            levels = getattr(self, name)
            if len(set(levels)) < len(levels) or (not levels and name == "bodies"):
                shown = ", ".join(map(str, levels)) or "none"
                raise SpecError(f"{name} must be told each once (got {shown}).")
        if self.num_trials > MAX_TRIALS:
            raise SpecError(f"a study has at most {MAX_TRIALS:,} trials (got {self.num_trials:,}); ask for fewer.")

    @property
    def num_trials(self) -> int:
        levels = len(self.users) * len(self.think_s) + len(self.shares)
        return len(self.bodies) * (1 + self.rounds * levels)

    @property
    def expected_s(self) -> float:
        """About how long all trials take."""
        return self.num_trials * (_START_S + WARM_S + self.seconds)

    def told(self) -> Request:
        """Without paths of this machine: a record is read elsewhere."""
        bundle = self.bundle and f"BUNDLE/{PurePath(self.bundle).name}"
        data = self.data
        if data is not None and data.startswith(("/", "~", "file:")):
            data = f"DATA/{local_path(data).name}"
        return msgspec.structs.replace(self, bundle=bundle, data=data)

    def command(self, out: str) -> str:
        """The whole command, every level said."""
        words = ["pileus", "bench", "serving", *([self.bundle] if self.bundle else []), "--out", out]
        for option, levels in (
            ("--data", (self.data,)),
            ("--bodies", self.bodies),
            ("--users", self.users),
            ("--think-s", map(_short, self.think_s)),
            ("--shares", map(_short, self.shares)),
            ("--processes", (self.processes,)),
            ("--seconds", (_short(self.seconds),)),
            ("--rounds", (self.rounds,)),
        ):
            said = [str(level) for level in levels if level is not None]
            words += [option, *said] if said or option in ("--users", "--shares") else []
        return shlex.join(words)


def _short(number: float) -> str:
    return f"{number:g}"


def all_trials(request: Request) -> list[Trial]:
    """The saturations first: rates follow from them."""
    crowds = [Crowd(users=users, think_s=think_s) for users in request.users for think_s in request.think_s]
    levels: list[Level] = [*crowds, *(Stream(share=share) for share in request.shares)]
    cells = [Cell(body=body, level=level) for body in request.bodies for level in levels]
    first = [(0, Cell(body=body, level=Saturation())) for body in request.bodies]
    rounds = range(request.rounds if cells else 0)
    later = [(turn, cells[place]) for turn in rounds for place in permutation(0, turn, len(cells)).tolist()]
    return [Trial(number=number, round=turn, cell=cell) for number, (turn, cell) in enumerate([*first, *later])]


def load_of(level: Level, saturation: float) -> Users | Arrivals:
    """`saturation` in answers a second."""
    match level:
        case Saturation():
            return SATURATING
        case Crowd(users=users, think_s=think_s):
            return Users(users=users, think_s=think_s)
        case Stream(share=share):
            return Arrivals(per_s=share * saturation)
