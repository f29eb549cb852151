"""What is promoted, by the rule alone; the whole way is in tests/e2e/test_registry.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.errors import UsageError
from pileus.measure.paired import Paired
from pileus.operations.retrain import Wanted, decide

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
