"""The learning rate: a pure function of the step."""

from __future__ import annotations

import math

from pileus.spec.run import RunSpec


def learning_rate(spec: RunSpec, step: int, steps_per_epoch: int) -> float:
    """At global step `step`, counted from 0: linear warm-up, then constant, or a cosine to zero at the last step."""
    warmup = spec.warmup_epochs * steps_per_epoch
    peak = spec.optimizer.lr
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    if spec.schedule == "constant":
        return peak
    total = max(spec.epochs * steps_per_epoch, 1)
    done = min((step - warmup) / max(total - warmup, 1), 1.0)
    return peak * 0.5 * (1 + math.cos(math.pi * done))
