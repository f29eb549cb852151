"""Train with the corrections that people gave, compare with what serves, and promote only what is better.

Both are measured on one fixed test, which neither was trained on, and on those corrections that were held back: a fifth
of them, by the hash of the input, so that all items of one are held back together, for good, from every later training.

The rule is strict in one way: nothing is promoted that errs more often than production on the fixed test. So a chain
of retrainings cannot slide downwards, however well each pleases its corrections, and those are production's errors to
begin with: any other model is right in some of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from pileus.bundles import Bundle, load
from pileus.bundles.registry import Registry
from pileus.data.ports import Split
from pileus.data.sources.feedback import KIND as FEEDBACK
from pileus.data.sources.open import open_source
from pileus.data.sources.ports import ListedSource
from pileus.data.splits import settled_split
from pileus.errors import UsageError, VersionConflict
from pileus.machine import count_cores
from pileus.measure.paired import Paired, compare_paired
from pileus.operations.evaluate import Evaluation, SplitName, evaluate_bundle
from pileus.operations.observer import Observer, Silent
from pileus.operations.train import train
from pileus.recipes.load import load_recipe
from pileus.spec.resolve import resolve
from pileus.spec.run import RunSpec
from pileus.spec.values import Spec

SIGNIFICANT = 0.05
RULE = (
    "promoted is what errs less on the test (one-sided exact McNemar test, p <= 0.05), "
    "or errs no more on it and less on the corrections held back"
)
NOT_BETTER = 4
"""The exit code where the candidate was not promoted."""


class Wanted(Spec, frozen=True, kw_only=True):
    """What to train with, and what to measure on."""

    feedback: str
    """Place of the corrections."""
    test: str
    """Source of the fixed test."""
    split: SplitName = "test"
    """The part of it."""
    data: str | None = None
    """Source to train on beside the corrections; None: production's own."""
    recipe: str | None = None
    """None: the settings that production was trained with."""
    settings: tuple[tuple[tuple[str, ...], Any], ...] = ()
    """Laid over those, as `resolve` takes them."""
    weight: int = 10
    """A correction counts as so many samples in training."""
    warm_start: bool = False
    """Begin with production's weights: few epochs then do. Else as production's own training began."""

    def __post_init__(self) -> None:
        if self.weight < 1:
            raise UsageError(f"weight is a number of samples from 1 on (got {self.weight}).")


class Decision(NamedTuple):
    promote: bool
    reason: str


class Retrained(Spec, frozen=True, kw_only=True):
    """What `pileus retrain --json` prints."""

    registry: str
    run: str
    uri: str
    former: str
    """The production that it was compared with, whole; likewise:"""
    candidate: str
    promoted: bool
    reason: str
    rule: str = RULE
    test: Paired
    test_fingerprint: str
    test_samples: int
    corrections: int
    corrections_trained: int
    held_back: Paired | None
    """None where no correction is held back yet."""


def retrain(
    registry: Registry,
    wanted: Wanted,
    *,
    runs: str = "runs",
    name: str | None = None,
    observer: Observer | None = None,
) -> Retrained:
    """One candidate, promoted or kept in the registry with the reason why not.

    UsageError and its kin before anything is trained; as `train` while it is; VersionConflict where production was
    changed by others meanwhile, the candidate being kept.
    """
    observer = observer or Silent()
    former = registry.roles().production
    if former is None:
        raise UsageError(f"{registry.place} has no production to compare with; promote a first bundle.")
    threads = count_cores().usable
    production = registry.bundle(former, threads=threads)
    corrections = _corrections(wanted.feedback, production)
    spec = _spec(wanted, production, registry.place_of(former))
    test = open_source(wanted.test)
    before = _measured(production, test, wanted.test, wanted.split)
    observer.say(f"production {former[:16]}: {before.measured.accuracy:.2%} of {before.measured.num_samples:,} right")
    trained = train(spec, runs=runs, name=name, recipe=production.name, observer=observer)
    candidate = load(trained.bundle, threads=threads)
    after = _measured(candidate, test, wanted.test, wanted.split)
    compared = compare_paired(before.right_N, after.right_N)
    held_back = _held_back(production, candidate, corrections, wanted.feedback)
    decision = decide(compared, held_back)
    registry.add(trained.bundle, f"retrained, run {trained.run}")
    version = candidate.manifest.version
    _settle(registry, version, former, decision)
    return Retrained(
        registry=registry.place,
        run=trained.run,
        uri=trained.uri,
        former=former,
        candidate=version,
        promoted=decision.promote,
        reason=decision.reason,
        test=compared,
        test_fingerprint=after.fingerprint,
        test_samples=compared.samples,
        corrections=len(corrections),
        corrections_trained=len(_in_split(corrections, Split.TRAIN)),
        held_back=held_back,
    )


def decide(test: Paired, held_back: Paired | None) -> Decision:
    """By RULE. `before` is production, `after` the candidate."""
    told = f"{test.errors_after} errors in place of {test.errors_before} on the test of {test.samples:,}"
    if test.errors_after < test.errors_before and test.p_better <= SIGNIFICANT:
        return Decision(True, f"{told} (p = {test.p_better:.2g})")
    if test.errors_after > test.errors_before:
        return Decision(False, told)
    if held_back is None:
        return Decision(False, f"{told}, which may be chance (p = {test.p_better:.2g}); no correction is held back yet")
    told += f", {held_back.errors_after} in place of {held_back.errors_before} on {held_back.samples:,} corrections"
    return Decision(held_back.errors_after < held_back.errors_before, told)


def _settle(registry: Registry, version: str, former: str, decision: Decision) -> None:
    if not decision.promote:
        registry.keep(version, decision.reason)
        return
    try:
        registry.promote(version, decision.reason, instead_of=former)
    except VersionConflict as conflict:
        registry.keep(version, f"{decision.reason}; but {conflict}"[:500])
        raise


def _corrections(place: str, production: Bundle) -> ListedSource:
    source = open_source(place)
    if source.kind != FEEDBACK:
        raise UsageError(f"--feedback is what `pileus serve --feedback` keeps (got {place}, {source.kind}).")
    if not set(production.classes) <= set(source.classes) <= set(production.manifest.labels):
        raise UsageError(f"the corrections in {place} are of a model with other classes than production's.")
    return source


def _spec(wanted: Wanted, production: Bundle, place: str) -> RunSpec:
    """`place`: of production. SpecError for settings that cannot be."""
    base = load_recipe(wanted.recipe) if wanted.recipe else production.manifest.provenance.spec
    if not base:
        raise UsageError(f"production {production.version} does not say how it was trained; name a --recipe.")
    data = [(("data", "source"), wanted.data)] if wanted.data else []
    spec = resolve({**base, **_beginning(wanted, base, place)}, [*data, *wanted.settings])
    if not spec.data.source:
        raise UsageError("training needs data beside the corrections (got none); name it: --data SOURCE")
    others = [name for name in spec.data.also if name != wanted.feedback]
    also = (("data", "also"), [*others, *[wanted.feedback] * wanted.weight])
    return resolve(msgspec.to_builtins(spec), [also])


def _beginning(wanted: Wanted, base: Mapping[str, Any], place: str) -> dict[str, Any]:
    """What the weights are at first. One that began with a former production began in another way at the very first."""
    if wanted.warm_start:
        return {"transfer": {"bundle": place, "head": "kept"}}
    began_warm = (base.get("transfer") or {}).get("head") == "kept"
    return {"transfer": None} if began_warm else {}


def _measured(bundle: Bundle, source: ListedSource, name: str, split: SplitName) -> Evaluation:
    return evaluate_bundle(bundle, source, data=name, split=split)


def _held_back(production: Bundle, candidate: Bundle, corrections: ListedSource, name: str) -> Paired | None:
    labels = {corrections.row(number).label for number in _in_split(corrections, Split.TEST)}
    if not labels & set(range(len(production.classes))):
        return None
    before, after = (_measured(bundle, corrections, name, "test") for bundle in (production, candidate))
    return compare_paired(before.right_N, after.right_N)


def _in_split(source: ListedSource, split: Split) -> Sequence[int]:
    rows = (source.row(index) for index in range(len(source)))
    return [number for number, row in enumerate(rows) if settled_split(row.split, row.id) == split]
