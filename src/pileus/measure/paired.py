"""Two classifiers on the same samples: what the one gets right and the other does not.

The test is McNemar's (1947) in its exact form: where both are equally good, each sample on which they differ is as
likely to be won as lost, so that wins are binomial with p = 1/2.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pileus.errors import UsageError
from pileus.spec.values import Spec


class Paired(Spec, frozen=True, kw_only=True):
    """Counts of samples."""

    samples: int
    errors_before: int
    errors_after: int
    won: int
    """Wrong before, right after."""
    lost: int
    """Right before, wrong after."""

    @property
    def p_better(self) -> float:
        """The chance of so many wins or more, were both equally good."""
        return _upper_tail(self.won, self.won + self.lost)


def compare_paired(right_before_N: NDArray[np.bool_], right_after_N: NDArray[np.bool_]) -> Paired:
    """Whether each answered rightly, in one order of the samples. UsageError for another number of samples."""
    if right_before_N.shape != right_after_N.shape:
        raise UsageError(
            f"paired answers are to the same samples (got {len(right_before_N)} and {len(right_after_N)}); "
            "measure both anew."
        )
    return Paired(
        samples=len(right_before_N),
        errors_before=int((~right_before_N).sum()),
        errors_after=int((~right_after_N).sum()),
        won=int((~right_before_N & right_after_N).sum()),
        lost=int((right_before_N & ~right_after_N).sum()),
    )


def _upper_tail(least: int, num: int) -> float:
    """P(X >= least) for X binomial of `num` and 1/2."""
    log_half = num * math.log(2.0)
    logs = (math.lgamma(num + 1) - math.lgamma(k + 1) - math.lgamma(num - k + 1) for k in range(least, num + 1))
    return min(1.0, math.fsum(math.exp(log - log_half) for log in logs))
