"""Which precision is faster here, measured on the run's own network: the gradient of a microbatch on one thread.

What a processor says of itself does not tell: on one with bf16 instructions small networks lose by the conversions, and
on one without them every network does.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Literal, NamedTuple

import msgspec
import numpy as np
import torch

from pileus.data.batches import Microbatch
from pileus.spec.run import RunSpec
from pileus.training.gradient import NUM_TOTALS
from pileus.training.lanes import Lanes
from pileus.training.network import Problem

_SECONDS = 1.0
_FEWEST_ROUNDS, _MOST_ROUNDS = 2, 20
_GAIN = 1.1
"""From this factor on bf16 is worth its lower precision."""


class Speeds(NamedTuple):
    """Seconds for the gradient of one microbatch, the best of several rounds after a first that warms up."""

    fp32_s: float
    bf16_s: float

    @property
    def gain(self) -> float:
        return self.fp32_s / self.bf16_s

    @property
    def better(self) -> Literal["fp32", "bf16"]:
        return "bf16" if self.gain >= _GAIN else "fp32"


def measure_precisions(spec: RunSpec, problem: Problem) -> Speeds:
    """About a second; more where a microbatch takes longer than a quarter of that."""
    generator = np.random.default_rng(0)
    samples = Microbatch(
        generator.integers(0, 256, (spec.microbatch_size, *problem.shape_HWC), np.uint8),
        generator.integers(0, problem.num_classes, spec.microbatch_size, np.int64),
    )
    fp32, bf16 = (
        Lanes(msgspec.structs.replace(spec, precision=precision), problem, 1) for precision in ("fp32", "bf16")
    )
    times: list[tuple[float, float]] = []
    deadline = time.perf_counter() + _SECONDS
    with _one_thread():
        while len(times) < _FEWEST_ROUNDS or (len(times) < _MOST_ROUNDS and time.perf_counter() < deadline):
            times.append((_seconds(fp32, samples), _seconds(bf16, samples)))
    return Speeds(*np.min(times[1:], axis=0).tolist())


def _seconds(lanes: Lanes, samples: Microbatch) -> float:
    started = time.perf_counter()
    size = lanes.layout.num_summed + NUM_TOTALS
    lanes.free(lanes.sums((0, 1), 1, lambda lane, index, into: lane.gradient(samples, (0, 0, 0), into), size))
    return time.perf_counter() - started


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
