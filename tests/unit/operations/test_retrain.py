"""What is promoted, by the rule, and corrections to none; the whole way is in tests/e2e/test_registry.py."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.bundles.registry import Registry
from pileus.data.sources.feedback import Correction, Head, prepare_place
from pileus.errors import SpecError, UsageError
from pileus.measure.paired import Paired
from pileus.operations.retrain import Wanted, decide, retrain
from pileus.operations.train import train
from pileus.spec.preprocessing import Drawing
from pileus.store import open_store
from tests.e2e.running import trial_spec, write_digits

counts = st.integers(0, 40)


def paired(won: int, lost: int, both: int = 3) -> Paired:
    return Paired(samples=200, errors_before=won + both, errors_after=lost + both, won=won, lost=lost)


@pytest.mark.parametrize(
    ("test", "held_back", "promoted"),
    [
        (paired(5, 0), None, True),
        (paired(4, 0), None, False),
        (paired(4, 0), paired(1, 0), True),
        (paired(2, 2), paired(3, 1), True),
        (paired(2, 2), paired(3, 3), False),
        (paired(2, 2), None, False),
        (paired(2, 3), paired(9, 0), False),
        (paired(30, 5), paired(0, 4), True),
    ],
)
def test_the_rule(test: Paired, held_back: Paired | None, promoted: bool) -> None:
    assert decide(test, held_back).promote is promoted


@given(counts, counts, counts, counts)
def test_nothing_that_errs_more_on_the_test_is_ever_promoted(won: int, lost: int, more: int, fewer: int) -> None:
    decision = decide(paired(won, lost), paired(more, fewer))
    assert not (decision.promote and lost > won)
    assert str(lost + 3) in decision.reason


def test_a_correction_counts_once_at_least() -> None:
    with pytest.raises(UsageError, match="weight"):
        Wanted(feedback="kept", test="mnist", weight=0)


def write_nones(place: Path, count: int) -> Path:
    """Raw images of one grey each, of which people said that they are none of the classes."""
    store = open_store(place)
    prepare_place(
        store,
        Head(classes=tuple("abcd"), none="none", preprocessing=Drawing(height=8, width=8, box=8.0, stroke_width=1.0)),
    )
    for grey in range(count):
        correction = Correction(
            request_id=str(grey),
            item=0,
            label="none",
            media_type="application/octet-stream",
            input=bytes([grey]) * 64,
            whole=True,
            box=(0, 0, 8, 8),
            answered="a",
            confidence=0.5,
            model="0" * 64,
            answered_s=0.0,
            corrected_s=0.0,
        )
        store.put(correction.key, msgspec.json.encode(correction))
    return place


def test_corrections_to_none_are_learned_and_are_no_digits_to_measure_on(tmp_path: Path) -> None:
    digits, nones = write_digits(tmp_path / "digits"), write_nones(tmp_path / "nones", 40)
    settings = ("engine.name=fake", "epochs=1", f'data.also=["{nones}"]', "data.none=none")
    trained = train(trial_spec(digits, *settings), runs=str(tmp_path / "runs"), name="first")
    registry = Registry(str(tmp_path / "registry"))
    registry.promote(registry.add(trained.bundle).version)
    done = retrain(registry, Wanted(feedback=str(nones), test=str(digits), weight=2), runs=str(tmp_path / "runs"))
    assert (done.corrections, done.held_back) == (40, None)
    assert 0 < done.corrections_trained < 40 and done.test.samples == 32


def test_a_warm_start_learns_on_from_each_production_in_turn(tmp_path: Path) -> None:
    digits, nones = write_digits(tmp_path / "digits"), write_nones(tmp_path / "nones", 40)
    runs = str(tmp_path / "runs")
    settings = ("engine.name=fake", "epochs=1", f'data.also=["{nones}"]', "data.none=none")
    registry = Registry(str(tmp_path / "registry"))
    version = registry.add(train(trial_spec(digits, *settings), runs=runs, name="first").bundle).version
    wanted = Wanted(feedback=str(nones), test=str(digits), weight=2)
    for name, warm_start in (("second", True), ("third", True), ("anew", False)):
        registry.promote(version)
        done = retrain(registry, msgspec.structs.replace(wanted, warm_start=warm_start), runs=runs, name=name)
        transfer = registry.manifest(done.candidate).provenance.spec["transfer"]
        assert (transfer and (transfer["version"], transfer["head"])) == ((version, "kept") if warm_start else None)
        version = done.candidate


def test_a_head_is_kept_of_the_same_classes_alone(tmp_path: Path) -> None:
    digits, nones = write_digits(tmp_path / "digits"), write_nones(tmp_path / "nones", 40)
    runs = str(tmp_path / "runs")
    first = train(trial_spec(digits, "engine.name=fake", "epochs=1"), runs=runs, name="first")
    kept = (f"transfer.bundle={first.bundle}", "transfer.head=kept")
    knowing = trial_spec(digits, "engine.name=fake", *kept, f'data.also=["{nones}"]', "data.none=none")
    with pytest.raises(SpecError, match=r"same classes in the same order \(got 'none' where .* has None\)"):
        train(knowing, runs=runs, name="second")
