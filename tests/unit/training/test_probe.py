"""Which precision is chosen: by measured seconds alone."""

from __future__ import annotations

import pytest
import torch

from pileus.spec.resolve import resolve
from pileus.training.network import Problem
from pileus.training.probe import Speeds, measure_precisions


@pytest.mark.parametrize(("fp32_s", "bf16_s", "better"), [(2.0, 1.0, "bf16"), (1.0, 1.0, "fp32"), (1.05, 1.0, "fp32")])
def test_bf16_must_gain(fp32_s: float, bf16_s: float, better: str) -> None:
    assert Speeds(fp32_s, bf16_s).better == better


def test_the_runs_own_network_is_measured_and_the_threads_are_as_before() -> None:
    spec = resolve({"model": "digits_cnn", "data": {"source": "x"}, "microbatch_size": 16})
    before = torch.get_num_threads()
    speeds = measure_precisions(spec, Problem((8, 8, 1), 10))
    assert 0 < speeds.fp32_s < 10
    assert 0 < speeds.bf16_s < 10
    assert torch.get_num_threads() == before
