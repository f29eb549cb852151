"""A step's other parts: clipping, running statistics, the average of the weights, and the cut into shards."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from pileus.models.layers import BatchNorm2d
from pileus.spec.resolve import resolve
from pileus.spec.run import RunSpec
from pileus.training.layout import Layout, aligned_zeros
from pileus.training.optimizers import Flat
from pileus.training.update import AVERAGE, Cut, Update, clip, standing_in

LAYOUT = Layout([("weight", (5, 7)), ("bias", (3,))], [("mean", (4,)), ("var", (4,))], [("fixed", (6,))])


def spec(**settings: Any) -> RunSpec:
    return resolve({"model": "digits_cnn", "data": {"source": "x"}, **settings})


def noise(size: int, seed: int) -> Flat:
    vector = aligned_zeros(size)
    vector[:] = np.random.default_rng(seed).standard_normal(size, np.float32)
    return vector


@pytest.mark.parametrize("largest", [0.1, 1.0, 5.0, 1000.0])
def test_clipping_is_torchs(largest: float) -> None:
    gradient = noise(1000, 1)
    parameter = torch.nn.Parameter(torch.zeros(1000))
    parameter.grad = torch.from_numpy(gradient.copy())
    torch.nn.utils.clip_grad_norm_([parameter], largest)
    clip(gradient, largest)
    np.testing.assert_allclose(gradient, parameter.grad.numpy(), rtol=1e-5)
    assert np.linalg.norm(gradient) <= largest * (1 + 1e-6)


def test_what_is_short_enough_is_not_clipped() -> None:
    gradient = noise(100, 2)
    before = gradient.tobytes()
    clip(gradient, float(np.linalg.norm(gradient)) * 1.001)
    assert gradient.tobytes() == before


def test_the_average_is_that_of_a_plain_loop() -> None:
    update = Update(spec(ema=0.9, clip_norm=2.0), LAYOUT)
    state = noise(LAYOUT.size, 3)
    update.begin(state)
    expected = state[: LAYOUT.num_summed].astype(np.float64)
    for step in range(1, 20):
        update.apply(state, noise(LAYOUT.num_summed, 100 + step), 0.05, step)
        expected = 0.9 * expected + 0.1 * state[: LAYOUT.num_summed]
    assert update.average is not None
    np.testing.assert_allclose(update.average, expected, atol=1e-5)
    assert not np.allclose(update.average, state[: LAYOUT.num_summed], atol=1e-2)


def test_running_statistics_move_by_their_momentum() -> None:
    update, state, mean = Update(spec(), LAYOUT), noise(LAYOUT.size, 4), noise(LAYOUT.num_summed, 5)
    statistics = slice(LAYOUT.num_trained, LAYOUT.num_summed)
    expected = state[statistics] + BatchNorm2d.momentum * (mean[statistics] - state[statistics])
    fixed = state[LAYOUT.num_summed :].copy()
    update.apply(state, mean, 0.05, 1)
    np.testing.assert_allclose(state[statistics], expected, rtol=1e-6)
    np.testing.assert_array_equal(state[LAYOUT.num_summed :], fixed)


def test_the_average_is_looked_at_and_the_weights_come_back() -> None:
    update, state = Update(spec(ema=0.5), LAYOUT), noise(LAYOUT.size, 6)
    update.begin(state)
    update.apply(state, noise(LAYOUT.num_summed, 7), 0.5, 1)
    before = state.copy()
    with pytest.raises(ZeroDivisionError), standing_in(update.average, state):
        assert update.average is not None
        np.testing.assert_array_equal(state[: LAYOUT.num_summed], update.average)
        np.testing.assert_array_equal(state[LAYOUT.num_summed :], before[LAYOUT.num_summed :])
        raise ZeroDivisionError
    assert state.tobytes() == before.tobytes()


def test_without_an_average_the_weights_are_looked_at() -> None:
    update, state = Update(spec(), LAYOUT), noise(LAYOUT.size, 8)
    before = state.tobytes()
    with standing_in(update.average, state):
        assert state.tobytes() == before
    assert not [name for name in update.tensors() if name.startswith(AVERAGE)]


@pytest.mark.parametrize("border", [0, 16, 48, LAYOUT.num_trained, LAYOUT.num_summed])
def test_shards_step_to_the_same_bits_as_the_whole(border: int) -> None:
    settings = spec(ema=0.8, optimizer={"name": "adamw", "lr": 0.01})
    whole, state = Update(settings, LAYOUT), noise(LAYOUT.size, 9)
    shards = state.copy()
    cuts = [Cut(LAYOUT, 0, border), Cut(LAYOUT, border, LAYOUT.num_summed)]
    parts = [Update(settings, LAYOUT, cut) for cut in cuts]
    whole.begin(state)
    for cut, part in zip(cuts, parts, strict=True):
        part.begin(shards[cut.start : cut.stop])
    for step in range(1, 4):
        mean = noise(LAYOUT.num_summed, 20 + step)
        for cut, part in zip(cuts, parts, strict=True):
            part.apply(shards[cut.start : cut.stop], mean[cut.start : cut.stop].copy(), 0.01, step)
        whole.apply(state, mean, 0.01, step)
    assert shards.tobytes() == state.tobytes()
    averages = [part.average for part in parts if part.average is not None]
    assert whole.average is not None
    assert np.concatenate(averages).tobytes() == whole.average.tobytes()
