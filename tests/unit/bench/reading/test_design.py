"""The design: every combination once a repetition, in a drawn order; impossible ones are refused."""

from __future__ import annotations

from collections import Counter

import pytest

from pileus.bench.reading.design import (
    MAX_TRIALS,
    NAMES,
    Factors,
    Place,
    all_cells,
    all_trials,
    expected_s,
    places_of,
)
from pileus.errors import SpecError

FACTORS = Factors(
    pixels=(0, 32), batch_size=(4, 8), batches=(1, 3), store=places_of((0.0, 20.0), remote=False), repetitions=3
)


def test_every_combination_once_in_each_repetition() -> None:
    cells = all_cells(FACTORS)
    assert len(cells) == len(set(cells)) == FACTORS.num_cells == 2**7
    trials = all_trials(FACTORS)
    assert [trial.number for trial in trials] == list(range(3 * 2**7))
    for repetition in range(3):
        block = trials[repetition * len(cells) : (repetition + 1) * len(cells)]
        assert {trial.repetition for trial in block} == {repetition}
        assert Counter(trial.cell for trial in block) == Counter(cells)


def test_the_order_is_drawn_from_the_seed_and_anew_for_each_repetition() -> None:
    def order(seed: int, repetition: int) -> list[object]:
        factors = Factors(seed=seed)
        return [trial.cell for trial in all_trials(factors) if trial.repetition == repetition]

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)
    assert order(0, 0) != all_cells(Factors())


def test_the_set_is_as_large_as_the_largest_trial() -> None:
    assert FACTORS.num_images == 8 * 3
    assert max(trial.cell.batch_size * trial.cell.batches for trial in all_trials(FACTORS)) == FACTORS.num_images
    assert (FACTORS.size_of_originals, Factors().size_of_originals) == (32, 224)


@pytest.mark.parametrize(
    ("levels", "parts"),
    [
        ({"batch_size": (4, 4)}, ("batch_size", "each once", "4, 4")),
        ({"readers": ()}, ("readers", "got none")),
        ({"store": (Place(), Place())}, ("store", "local, local")),
        ({"repetitions": MAX_TRIALS}, (f"{MAX_TRIALS:,} trials", "320,000", "fewer levels")),
        ({"batch_size": (1 << 15,), "batches": (64,)}, ("images", "32,768", "64", "lower")),
    ],
)
def test_impossible_designs_are_refused(levels: dict[str, object], parts: tuple[str, ...]) -> None:
    with pytest.raises(SpecError) as refused:
        Factors(**levels)  # type: ignore[arg-type]
    for part in parts:
        assert part in str(refused.value)


def test_places_have_names_of_their_own() -> None:
    assert [place.name for place in places_of((0.0, 20.0), remote=False)] == ["local", "local+20ms"]
    far = places_of((0.0, 2.5), remote=True)
    assert [place.name for place in far] == ["local", "remote", "remote+2.5ms"]
    assert [place.is_cached for place in far] == [False, True, True]


def test_more_work_is_expected_to_take_longer() -> None:
    def about(**levels: object) -> float:
        factors = Factors(repetitions=1, **levels)  # type: ignore[arg-type]
        return expected_s(factors, all_trials(factors), 1e-3)

    usual = about()
    for more in (
        {"batches": (2, 80)},
        {"store": places_of((20.0,), remote=False)},
        {"pixels": (0, 32)},
        {"readers": (1,), "batch_size": (16, 64, 256)},
    ):
        assert about(**more) > usual, more
    assert set(NAMES) <= set(Factors.__struct_fields__)
