"""The learning rate: a pure function of the step."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pileus.spec.run import RunSpec

_CYCLE_RISES = 0.3
"""Part of a one-cycle run in which the rate rises, unless the warm-up is given."""


def learning_rate(spec: RunSpec, step: int, first_steps: Sequence[int]) -> float:
    """At global step `step`, counted from 0: a linear warm-up, then what the schedule says.

    A schedule that falls would reach zero at the step after the last. `first_steps` are those of the epochs, and behind
    them the number of all steps: see `Batches.first_steps`.
    """
    warmup, total, peak = _warmup_steps(spec, first_steps), first_steps[-1], spec.optimizer.lr
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    if spec.schedule == "constant":
        return peak
    done = min((step - warmup) / max(total - warmup, 1), 1.0)
    if spec.schedule == "one_cycle":
        return peak * (1 - done)
    return peak * 0.5 * (1 + math.cos(math.pi * done))


def _warmup_steps(spec: RunSpec, first_steps: Sequence[int]) -> float:
    """Steps, in parts too: an epoch that is warm-up by a half counts half of its own steps."""
    if spec.schedule == "one_cycle" and not spec.warmup_epochs:
        return _CYCLE_RISES * first_steps[-1]
    whole = min(int(spec.warmup_epochs), len(first_steps) - 2)
    steps_of_it = first_steps[whole + 1] - first_steps[whole]
    return first_steps[whole] + (spec.warmup_epochs - whole) * steps_of_it
