"""The layers against those of torch, which are the reference."""

from __future__ import annotations

import copy

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from pileus.bundles.export import export_onnx
from pileus.models.layers import (
    AdaptiveMean,
    BatchNorm2d,
    FlattenLast,
    IdentityConv2d,
    ScalePixels,
    ShiftNorm2d,
    StandardPixels,
    average_mirrored,
    initialise,
)
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


@pytest.mark.parametrize("size", [(7, 7), (1, 1), (3, 10), (14, 8)])
def test_adaptive_means_are_those_of_torch_and_can_be_exported(size: tuple[int, int]) -> None:
    features_NCHW = torch.randn((2, 3, *size), generator=torch.Generator().manual_seed(4))
    means_NCSS = AdaptiveMean(size, 7)(features_NCHW)
    torch.testing.assert_close(means_NCSS, nn.AdaptiveAvgPool2d(7)(features_NCHW))
    network = nn.Sequential(ScalePixels(), AdaptiveMean(size, 7), nn.Flatten())
    session = onnxruntime.InferenceSession(export_onnx(network, *size, 3), providers=["CPUExecutionProvider"])
    images_NHWC = noise(3, *size, 3)
    (values,) = session.run(["logits"], {"images": images_NHWC})
    np.testing.assert_allclose(values, network(torch.from_numpy(images_NHWC)).numpy(), atol=1e-6)


def test_pixels_are_standardised_by_channel() -> None:
    images_NHWC = torch.from_numpy(noise(2, 4, 5, 3))
    wanted_NHWC = (images_NHWC / 255 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(StandardPixels(3)(images_NHWC), wanted_NHWC.permute(0, 3, 1, 2), atol=1e-5, rtol=0)
    grey = StandardPixels(1)(torch.full((1, 2, 2, 1), 115, dtype=torch.uint8))
    assert grey.shape == (1, 1, 2, 2) and grey.abs().max() < 0.02


def test_features_lie_as_images_do() -> None:
    """Channels last: resnet9 trains a tenth faster so than channel by channel, narrower nets a third and more."""
    for pixels in (ScalePixels(), StandardPixels(3)):
        features_NCHW = nn.Conv2d(3, 8, 3)(pixels(torch.from_numpy(noise(2, 8, 8, 3))))
        assert features_NCHW.is_contiguous(memory_format=torch.channels_last)


def test_an_identity_convolution_begins_by_handing_on_what_it_is_given() -> None:
    network = nn.Sequential(IdentityConv2d(3, 8))
    initialise(network, seed=1)
    images_NCHW = torch.rand(2, 3, 5, 5)
    made_NCHW = network(images_NCHW)
    assert torch.equal(made_NCHW[:, :3], images_NCHW)
    assert made_NCHW[:, 3:].std() > 0.1


def test_features_are_flattened_as_they_lie_with_channels_last() -> None:
    features_NCHW = torch.arange(2 * 3 * 2 * 2.0).reshape(2, 2, 2, 3).permute(0, 3, 1, 2)
    flat_NF = FlattenLast()(features_NCHW)
    assert torch.equal(flat_NF, torch.arange(24.0).reshape(2, 12))
    assert flat_NF.data_ptr() == features_NCHW.data_ptr(), "it was moved"


def test_a_shift_norm_moves_as_one_without_a_scale_whose_shift_has_64_times_the_rate() -> None:
    ours, theirs = ShiftNorm2d(4), nn.BatchNorm2d(4, momentum=BatchNorm2d.momentum)
    theirs.weight.requires_grad_(False)
    with torch.no_grad():
        ours.bias.copy_(torch.linspace(-0.1, 0.2, 4))
        theirs.bias.copy_(ours.bias * 8)
    steps = [torch.optim.SGD([ours.bias], 0.01, 0.9), torch.optim.SGD([theirs.bias], 0.64, 0.9)]
    for seed in range(3):
        inputs_NCHW, goals_NCHW = features(seed), features(seed + 9)
        for norm, step in zip((ours, theirs), steps, strict=True):
            step.zero_grad()
            (norm(inputs_NCHW) - goals_NCHW).square().mean().backward()
            step.step()
    assert torch.allclose(ours.shift(), theirs.bias, atol=1e-6)
    assert (theirs.bias - torch.linspace(-0.8, 1.6, 4)).abs().max() > 1
    assert [name for name, _ in ours.named_parameters()] == ["bias"]


def test_a_frozen_shift_norm_stays_as_in_evaluation() -> None:
    norm = ShiftNorm2d(4)
    norm.requires_grad_(requires_grad=False)
    assert not norm.uses_batch
    assert torch.equal(norm.train()(features()), norm.eval()(features()))


def test_mirror_images_count_in_evaluation_alone_and_in_the_graph_that_ships() -> None:
    plain = nn.Sequential(ScalePixels(), nn.Conv2d(1, 3, 3), ShiftNorm2d(3), nn.Flatten(), nn.Linear(3 * 6 * 4, 5))
    initialise(plain, 3)
    both = copy.deepcopy(plain)
    average_mirrored(both)
    images_NHWC = noise(4, 8, 6, 1, seed=5)
    mirrored_NHWC = np.ascontiguousarray(images_NHWC[:, :, ::-1])
    assert torch.equal(plain.train()(torch.tensor(images_NHWC)), both.train()(torch.tensor(images_NHWC)))
    plain.eval()
    expected_NK = (plain(torch.tensor(images_NHWC)) + plain(torch.tensor(mirrored_NHWC))).detach().numpy() / 2
    session = onnxruntime.InferenceSession(export_onnx(both, 8, 6, 1), providers=["CPUExecutionProvider"])
    (logits_NK,) = session.run(["logits"], {"images": images_NHWC})
    np.testing.assert_allclose(logits_NK, expected_NK, atol=1e-5)
    assert np.abs(logits_NK - plain(torch.tensor(images_NHWC)).detach().numpy()).max() > 1e-3
    assert list(both.state_dict()) == list(plain.state_dict())
