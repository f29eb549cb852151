"""Mixed samples count as two labels with a weight, and as one label where they are certain."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from pileus.data.batches import Microbatch
from pileus.data.transforms.mix import Pairs
from pileus.models.registry import build
from pileus.training.gradient import NUM_TOTALS, Lane, Totals
from pileus.training.layout import Layout, aligned_zeros, gather
from pileus.training.tree import Vector

SHAPE, COUNT = (8, 8, 1), 6


def samples(weights: list[float] | None) -> Microbatch:
    generator = np.random.default_rng(3)
    images_NHWC = generator.integers(0, 256, (COUNT, *SHAPE), dtype=np.uint8)
    labels_N = generator.integers(0, 10, COUNT, dtype=np.int64)
    pairs = None if weights is None else Pairs((labels_N + 1) % 10, np.array(weights, np.float32))
    return Microbatch(images_NHWC, labels_N, pairs)


def gradient_of(microbatch: Microbatch, smoothing: float = 0.0) -> Vector:
    network = build("mnist_cnn", SHAPE, 10, 0)
    layout = Layout.of(network)
    into = aligned_zeros(layout.size + NUM_TOTALS)
    Lane(network, layout, gather(network, layout), smoothing).gradient(microbatch, (0, 0, 0), into)
    return into


def soft_targets(microbatch: Microbatch, weights: list[float]) -> NDArray[np.float32]:
    targets_NK = np.zeros((COUNT, 10), np.float32)
    for row, (label, weight) in enumerate(zip(microbatch.labels_N, weights, strict=True)):
        targets_NK[row, label], targets_NK[row, (label + 1) % 10] = weight, 1 - weight
    return targets_NK


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_that_of_soft_targets(smoothing: float) -> None:
    weights = [0.0, 0.25, 0.5, 0.75, 0.875, 1.0]
    mixed = samples(weights)
    network = build("mnist_cnn", SHAPE, 10, 0)
    logits_NK = network(torch.from_numpy(mixed.images_NHWC))
    targets_NK = torch.from_numpy(soft_targets(mixed, weights))
    loss = functional.cross_entropy(logits_NK, targets_NK, reduction="sum", label_smoothing=smoothing)
    loss.backward()  # type: ignore[no-untyped-call]
    wanted = aligned_zeros(Layout.of(network).size)
    for slot, parameter in zip(Layout.of(network).slots, network.parameters(), strict=True):
        assert parameter.grad is not None
        wanted[slot.start : slot.stop] = parameter.grad.numpy().reshape(-1)
    found = gradient_of(mixed, smoothing)
    np.testing.assert_allclose(found[:-NUM_TOTALS], wanted, rtol=1e-4, atol=1e-6)
    assert Totals.of(found).loss == pytest.approx(loss.item(), rel=1e-5)


def test_a_weight_of_one_is_the_label_alone() -> None:
    alone, certain = gradient_of(samples(None)), gradient_of(samples([1.0] * COUNT))
    np.testing.assert_allclose(certain, alone, rtol=1e-5, atol=1e-7)


def test_an_answer_is_compared_with_the_label_that_weighs_more() -> None:
    network = build("mnist_cnn", SHAPE, 10, 0)
    answers = network(torch.from_numpy(samples(None).images_NHWC)).argmax(dim=1).numpy()
    own = samples(None)._replace(labels_N=answers, pairs=Pairs((answers + 1) % 10, np.full(COUNT, 0.75, np.float32)))
    others = own._replace(labels_N=(answers + 1) % 10, pairs=Pairs(answers, np.full(COUNT, 0.25, np.float32)))
    neither = own._replace(pairs=Pairs(answers, np.full(COUNT, 0.75, np.float32)), labels_N=(answers + 1) % 10)
    assert [Totals.of(gradient_of(each)).correct for each in (own, others, neither)] == [COUNT, COUNT, 0]
