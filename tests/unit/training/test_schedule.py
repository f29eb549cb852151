"""The learning rate over a run."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.optim.lr_scheduler import OneCycleLR

from pileus.data.batches import Batches
from pileus.spec.resolve import resolve
from pileus.spec.run import RunSpec
from pileus.training.schedule import learning_rate

EVEN = (0, 10, 20, 30, 40)
"""First steps of four epochs of ten steps each."""


def spec(**settings: object) -> RunSpec:
    base = {"model": "digits_cnn", "data": {"source": "x"}, "epochs": 4, "optimizer": {"name": "sgd", "lr": 1.0}}
    return resolve({**base, **settings})


def rates(first_steps: tuple[int, ...] = EVEN, **settings: object) -> list[float]:
    return [learning_rate(spec(**settings), step, first_steps) for step in range(first_steps[-1])]


def test_constant() -> None:
    assert set(rates()) == {1.0}


def test_warmup_rises_in_a_line_to_the_peak() -> None:
    assert rates(warmup_epochs=0.4)[:6] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])


def test_cosine_falls_from_the_peak_to_near_zero_and_never_rises() -> None:
    found = rates(schedule="cosine", warmup_epochs=1.0)
    assert found[10] == pytest.approx(1.0)
    assert found[25] == pytest.approx(0.5)
    assert 0 < found[-1] < 0.01
    assert all(one >= other for one, other in itertools.pairwise(found[10:]))


@pytest.mark.parametrize("warmup_epochs", [0.0, 0.5, 1.2, 2.0])
def test_one_cycle_is_torchs_of_two_lines(warmup_epochs: float) -> None:
    """Without a warm-up three tenths of the run rise, as in torch; ours is at zero one step after the last."""
    warmup = (warmup_epochs or 1.2) * 10
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    theirs = OneCycleLR(
        optimizer,
        max_lr=1.0,
        total_steps=41,
        pct_start=(warmup + 1) / 41,
        anneal_strategy="linear",
        cycle_momentum=False,
        div_factor=warmup + 1,
        final_div_factor=1e9,
    )
    expected = []
    for _ in range(40):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    assert rates(schedule="one_cycle", warmup_epochs=warmup_epochs) == pytest.approx(expected, abs=1e-6)


def test_one_cycle_uses_every_step() -> None:
    for epochs in (1, 2, 4):
        found = rates(tuple(range(epochs + 1)), schedule="one_cycle")
        assert min(found) > 0
        assert max(found) <= 1.0


def test_epochs_of_grown_batches_count_their_own_steps() -> None:
    first_steps = Batches(103, 10, 5, 0, {1: 20, 3: 50}).first_steps(4)
    assert first_steps == (0, 11, 17, 23, 26)
    found = rates(first_steps, schedule="cosine", warmup_epochs=1.5)
    assert found[:14] == pytest.approx([(step + 1) / 15 for step in range(14)])
    assert max(found) == found[14] == 1.0
    assert found[20] == pytest.approx(0.5)
    assert all(one > other for one, other in itertools.pairwise(found[14:]))


def test_a_warmup_longer_than_the_run_only_rises() -> None:
    found = rates(warmup_epochs=6.0)
    assert all(one < other for one, other in itertools.pairwise(found))
    assert found[-1] == pytest.approx(40 / 61)
