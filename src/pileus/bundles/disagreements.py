"""How two bundles answered the same live traffic: counts of all, and some of what they answered otherwise.

Below `shadow/<production>-<shadow>/` of a registry: `counts.json`, which every front of every server adds to by
compare-and-swap, and a file for each case that is kept, so many of each kind at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import msgspec

from pileus.errors import AlreadyExists, Damaged, NotFound, VersionConflict
from pileus.spec.values import Spec, canonical_json, digest
from pileus.store.ports import Store

FOLDER = "shadow/"
OUTCOMES = ("agreed", "items", "label", "verdict", "failed", "dropped")
Outcome = Literal["agreed", "items", "label", "verdict", "failed", "dropped"]
"""Of one question: both gave the same; another number of items; another label of an item; the same labels and another
verdict; the shadow refused it or died of it; the shadow had no time for it."""
Disagreement = Literal["items", "label", "verdict"]
DISAGREEMENTS: tuple[Disagreement, ...] = ("items", "label", "verdict")

MAX_CASES = 100
"""Of each kind."""
MAX_INPUT_BYTES = 1024 * 1024
_TRIES = 8
_COUNT_EVERY = 16


class ToldItem(msgspec.Struct):
    """What is compared of an item of a prediction, and shown of it."""

    label: str | None
    verdict: str


class Case(Spec, frozen=True, kw_only=True):
    """One question that two bundles answered otherwise."""

    outcome: Disagreement
    request_id: str
    at_s: float
    """In seconds since 1970 in UTC."""
    media_type: str
    whole: bool
    """The input was taken as one item."""
    input: bytes
    """As it was sent."""
    production: dict[str, Any]
    """The prediction, from its text on; likewise:"""
    shadow: dict[str, Any]

    @property
    def name(self) -> str:
        """Of its file: the same for the same input, whoever sent it."""
        return f"{digest(canonical_json([self.media_type, self.whole, digest(self.input)]))[:32]}.json"


class Counts(Spec, frozen=True, kw_only=True):
    """Questions by outcome, over all servers; `since_s` in seconds since 1970 in UTC."""

    by_outcome: dict[str, int]
    since_s: float


class Pair(Spec, frozen=True, kw_only=True):
    """Two bundles that were compared, and what was found."""

    production: str
    """Shown versions, of 16 digits; likewise:"""
    shadow: str
    counts: Counts | None

    @property
    def num_compared(self) -> int:
        by_outcome = self.counts.by_outcome if self.counts else {}
        return sum(by_outcome.get(outcome, 0) for outcome in ("agreed", *DISAGREEMENTS))


class Disagreements:
    """Of one pair of versions, in the store of their registry. Not safe for threads."""

    def __init__(self, store: Store, production: str, shadow: str) -> None:
        self._store = store
        self._production, self._shadow = production[:16], shadow[:16]
        self._folder = f"{FOLDER}{self._production}-{self._shadow}/"
        self._kept: dict[str, int] = {}
        self._until_counted = 0

    def add(self, counted: Mapping[str, int], now_s: float) -> None:
        """To the counts of all. VersionConflict where others were always quicker."""
        key = f"{self._folder}counts.json"
        for _ in range(_TRIES):
            found = self._counts()
            before, version = found if found else (Counts(by_outcome={}, since_s=now_s), None)
            total = {name: before.by_outcome.get(name, 0) + counted.get(name, 0) for name in OUTCOMES}
            content = canonical_json(Counts(by_outcome=total, since_s=before.since_s))
            try:
                if version is None:
                    self._store.put(key, content, if_absent=True)
                else:
                    self._store.swap(key, content, version)
            except (AlreadyExists, VersionConflict):
                continue
            return
        raise VersionConflict(f"{self._store.uri}/{key} was changed {_TRIES} times meanwhile.")

    def keep(self, case: Case) -> None:
        """Where there is room for one more of its kind, as far as this writer knows."""
        if len(case.input) > MAX_INPUT_BYTES:
            return
        if self._until_counted == 0:
            self._kept = {kind: len(self._store.list(f"{self._folder}{kind}/")) for kind in DISAGREEMENTS}
            self._until_counted = _COUNT_EVERY
        self._until_counted -= 1
        if self._kept[case.outcome] < MAX_CASES:
            self._kept[case.outcome] += 1
            self._store.put(f"{self._folder}{case.outcome}/{case.name}", msgspec.json.encode(case))

    def pair(self) -> Pair:
        found = self._counts()
        return Pair(production=self._production, shadow=self._shadow, counts=found[0] if found else None)

    def cases(self) -> list[Case]:
        """The newest first. Damaged where a file is none."""
        keys = [key for kind in DISAGREEMENTS for key in self._store.list(f"{self._folder}{kind}/")]
        cases = [_decoded(self._store.get(key).content, Case, f"{self._store.uri}/{key}") for key in keys]
        return sorted(cases, key=lambda case: -case.at_s)

    def _counts(self) -> tuple[Counts, str] | None:
        key = f"{self._folder}counts.json"
        try:
            blob = self._store.get(key)
        except NotFound:
            return None
        return _decoded(blob.content, Counts, f"{self._store.uri}/{key}"), blob.version


def compared_pairs(store: Store) -> list[Disagreements]:
    """All that were ever compared in a registry."""
    names = {key.split("/")[1] for key in store.list(FOLDER)}
    return [Disagreements(store, *name.split("-")) for name in sorted(names) if name.count("-") == 1]


_Kind = TypeVar("_Kind", Case, Counts)


def _decoded(content: bytes, kind: type[_Kind], place: str) -> _Kind:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Damaged(f"{place} is not as a server writes it ({error}); remove it.") from error
