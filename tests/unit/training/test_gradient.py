"""The gradient of a microbatch: right, and a pure function."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from pileus.data.batches import Microbatch
from pileus.models.registry import build
from pileus.training.gradient import NUM_TOTALS, Lane, Totals
from pileus.training.layout import Layout, aligned_zeros, gather
from pileus.training.tree import Vector

SHAPE = (8, 8, 1)


def microbatch(count: int = 6) -> Microbatch:
    generator = np.random.default_rng(3)
    return Microbatch(
        generator.integers(0, 256, (count, *SHAPE), dtype=np.uint8), generator.integers(0, 10, count, dtype=np.int64)
    )


def lane(smoothing: float = 0.0, seed: int = 0) -> tuple[Lane, Layout]:
    network = build("digits_cnn", SHAPE, 10, seed)
    layout = Layout.of(network)
    return Lane(network, layout, gather(network, layout), smoothing), layout


def gradient_of(samples: Microbatch, seeds: tuple[int, int, int] = (0, 0, 0), smoothing: float = 0.0) -> Vector:
    one, layout = lane(smoothing)
    into = aligned_zeros(layout.size + NUM_TOTALS)
    into[:] = np.nan
    one.gradient(samples, seeds, into)
    return into


def test_it_is_the_gradient_of_the_summed_loss() -> None:
    samples = microbatch()
    network = build("mnist_cnn", SHAPE, 10, 0)
    layout = Layout.of(network)
    into = aligned_zeros(layout.size + NUM_TOTALS)
    Lane(network, layout, gather(network, layout), 0.0).gradient(samples, (0, 0, 0), into)

    reference = build("mnist_cnn", SHAPE, 10, 0)
    logits_NK = reference(torch.from_numpy(samples.images_NHWC))
    loss = functional.cross_entropy(logits_NK, torch.from_numpy(samples.labels_N), reduction="sum")
    loss.backward()  # type: ignore[no-untyped-call]
    for slot, parameter in zip(layout.slots, reference.parameters(), strict=True):
        assert parameter.grad is not None
        np.testing.assert_array_equal(into[slot.start : slot.stop], parameter.grad.numpy().reshape(-1))
    totals = Totals.of(into)
    assert totals.loss == pytest.approx(loss.item())
    assert (totals.samples, totals.stops) == (6.0, 0.0)
    assert totals.correct == int((logits_NK.argmax(1).numpy() == samples.labels_N).sum())


def test_padding_between_parameters_stays_zero() -> None:
    _, layout = lane()
    into = gradient_of(microbatch())
    used = np.zeros(layout.size, bool)
    for slot in layout.slots:
        used[slot.start : slot.stop] = True
    assert not used.all()
    assert (into[: layout.size][~used] == 0).all()


def test_dropout_depends_on_its_coordinates_alone() -> None:
    samples = microbatch()
    assert gradient_of(samples, (1, 2, 3)).tobytes() == gradient_of(samples, (1, 2, 3)).tobytes()
    others = {gradient_of(samples, seeds).tobytes() for seeds in [(1, 2, 3), (2, 2, 3), (1, 3, 3), (1, 2, 4)]}
    assert len(others) == 4


def test_label_smoothing_counts_in_training_alone() -> None:
    samples = microbatch()
    assert Totals.of(gradient_of(samples, smoothing=0.2)).loss != Totals.of(gradient_of(samples)).loss
    results = []
    for smoothing in (0.0, 0.2):
        one, _ = lane(smoothing)
        into = np.zeros(NUM_TOTALS, np.float32)
        one.evaluate(samples, into)
        results.append(Totals.of(into))
    assert results[0] == results[1]


def test_bf16_is_near_fp32_the_same_each_time_and_out_of_evaluation() -> None:
    samples = microbatch(16)
    network = build("digits_cnn", SHAPE, 10, 0)
    layout = Layout.of(network)
    one = Lane(network, layout, gather(network, layout), 0.0, bf16=True)
    found = [aligned_zeros(layout.size + NUM_TOTALS) for _ in range(2)]
    for into in found:
        one.gradient(samples, (0, 0, 0), into)
    exact = gradient_of(samples)
    assert found[0].tobytes() == found[1].tobytes() != exact.tobytes()
    length = np.linalg.norm(exact[: layout.size])
    assert np.linalg.norm((found[0] - exact)[: layout.size]) < 0.05 * length
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    totals = [np.zeros(NUM_TOTALS, np.float32) for _ in range(2)]
    one.evaluate(samples, totals[0])
    lane()[0].evaluate(samples, totals[1])
    assert totals[0].tobytes() == totals[1].tobytes()


def test_the_seed_fixes_the_first_weights() -> None:
    weights = [
        gather(network, Layout.of(network)) for network in (build("digits_cnn", SHAPE, 10, s) for s in (0, 0, 1))
    ]
    assert weights[0].tobytes() == weights[1].tobytes() != weights[2].tobytes()
