"""The layers against those of torch, which are the reference."""

from __future__ import annotations

import copy

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from pileus.bundles.export import export_onnx
from pileus.models.layers import BatchNorm2d, ScalePixels, initialise
from tests.contracts.tiny import noise


def filled(channels: int) -> BatchNorm2d:
    """A norm layer none of whose values is one that it begins with."""
    norm = BatchNorm2d(channels)
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for values in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            values.uniform_(0.5, 1.5, generator=generator)
    return norm


def torch_twin(norm: BatchNorm2d) -> nn.BatchNorm2d:
    twin = nn.BatchNorm2d(len(norm.weight), momentum=norm.momentum)
    twin.load_state_dict(norm.state_dict(), strict=False)
    return twin


def features(seed: int = 5) -> Tensor:
    return torch.randn((6, 4, 5, 3), generator=torch.Generator().manual_seed(seed)) * 3 + 2


def test_in_training_values_and_gradients_are_those_of_torch() -> None:
    norm = filled(4)
    twin = torch_twin(norm)
    ours_NCHW, theirs_NCHW = features().requires_grad_(), features().requires_grad_()
    coefficients_NCHW = features(6)
    for layer, inputs_NCHW in ((norm, ours_NCHW), (twin, theirs_NCHW)):
        (layer(inputs_NCHW) * coefficients_NCHW).sum().backward()
    assert torch.equal(norm(ours_NCHW), twin(theirs_NCHW))
    pairs = ((ours_NCHW, theirs_NCHW), (norm.weight, twin.weight), (norm.bias, twin.bias))
    for ours, theirs in pairs:
        assert ours.grad is not None and theirs.grad is not None
        assert torch.equal(ours.grad, theirs.grad)
        assert ours.grad.abs().max() > 0.01


def test_merging_what_it_leaves_gives_the_running_statistics_of_torch() -> None:
    norm = filled(4)
    twin = torch_twin(norm)
    for seed in (1, 2, 3):
        twin(features(seed))
        norm(features(seed))
        with torch.no_grad():
            norm.running_mean += norm.momentum * (norm.batch_mean - norm.running_mean)
            norm.running_var += norm.momentum * (norm.batch_var - norm.running_var)
    assert twin.running_mean is not None and twin.running_var is not None
    torch.testing.assert_close(norm.running_mean, twin.running_mean)
    torch.testing.assert_close(norm.running_var, twin.running_var)


def test_training_leaves_the_running_statistics_and_the_statistics_hold_no_graph() -> None:
    norm = filled(4)
    before = copy.deepcopy(norm.state_dict())
    norm(features())
    assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())
    assert not norm.batch_mean.requires_grad and not norm.batch_var.requires_grad
    torch.testing.assert_close(norm.batch_mean, features().mean(dim=(0, 2, 3)))
    torch.testing.assert_close(norm.batch_var, features().var(dim=(0, 2, 3)))


def test_in_evaluation_it_uses_the_running_statistics() -> None:
    norm = filled(4).eval()
    twin = torch_twin(norm).eval()
    assert torch.equal(norm(features()), twin(features()))
    assert torch.equal(norm(features())[:1], norm(features()[:1]))
    assert not norm.batch_mean.any()


def test_a_frozen_one_stays_as_in_evaluation() -> None:
    norm = filled(4)
    wanted_NCHW = norm.eval()(features())
    norm.train().requires_grad_(False)
    assert not norm.uses_batch
    assert torch.equal(norm(features()), wanted_NCHW)


def test_the_graph_that_ships_has_a_free_batch_and_answers_as_torch() -> None:
    network = nn.Sequential(
        ScalePixels(), nn.Conv2d(3, 4, 3), filled(4), nn.ReLU(), filled(4), nn.Flatten(), nn.Linear(144, 5)
    ).eval()
    session = onnxruntime.InferenceSession(export_onnx(network, 8, 8, 3), providers=["CPUExecutionProvider"])
    for count in (1, 2, 9):
        images_NHWC = noise(count, 8, 8, 3)
        (logits_NK,) = session.run(["logits"], {"images": images_NHWC})
        with torch.no_grad():
            np.testing.assert_allclose(logits_NK, network(torch.from_numpy(images_NHWC)).numpy(), atol=1e-5)


def test_norms_begin_at_one_and_take_no_draw_from_the_others() -> None:
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(4, 5))
    normed = nn.Sequential(nn.Conv2d(3, 4, 3), filled(4), nn.Linear(4, 5))
    initialise(plain, seed=3)
    initialise(normed, seed=3)
    norm, last = normed[1], normed[2]
    assert isinstance(norm, BatchNorm2d) and isinstance(last, nn.Linear) and isinstance(plain[1], nn.Linear)
    assert torch.equal(norm.weight, torch.ones(4)) and torch.equal(norm.bias, torch.zeros(4))
    assert torch.equal(last.weight, plain[1].weight)
