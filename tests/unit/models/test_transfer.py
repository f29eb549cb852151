"""A donor is a real bundle, written and read back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from pileus.bundles import write_bundle
from pileus.bundles.export import export_onnx
from pileus.bundles.weights import read_weights
from pileus.errors import SpecError
from pileus.models.layers import BatchNorm2d
from pileus.models.registry import build
from pileus.models.transfer import build_from
from pileus.spec.preprocessing import Picture
from pileus.store import open_store
from tests.contracts.tiny import noise
from tests.unit.bundles.nets import describe

SHAPE = (32, 32, 3)
Donor = dict[str, NDArray[np.float32]]


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    """As after training: no tensor is as it was at the beginning."""
    network = build("resnet18", SHAPE, 10, seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for value in network.state_dict().values():
            value += torch.rand(value.shape, generator=generator) * 0.01
    return network.eval()


@pytest.fixture(scope="module")
def donor(trained: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Donor:
    place = tmp_path_factory.mktemp("donor")
    write_bundle(open_store(place), "bundle", export_onnx(trained, *SHAPE), describe(Picture(height=32, width=32)))
    manifest, weights = read_weights(place)
    assert manifest.input_shape == SHAPE
    return weights


def features_of(network: nn.Module, images_NHWC: NDArray[np.uint8]) -> torch.Tensor:
    """What stands before the head."""
    assert isinstance(network, nn.Sequential)
    with torch.no_grad():
        features: torch.Tensor = network[:-1](torch.from_numpy(images_NHWC))
    return features


@pytest.mark.parametrize("train", ["all", "head"])
def test_the_trunk_is_the_donors_and_the_head_is_new(train: str, trained: nn.Module, donor: Donor) -> None:
    network = build_from("resnet18", SHAPE, 4, 7, donor, train="head" if train == "head" else "all").eval()
    images_NHWC = noise(2, *SHAPE)
    assert torch.equal(features_of(network, images_NHWC), features_of(trained, images_NHWC))
    fresh = build("resnet18", SHAPE, 4, 7).state_dict()
    assert torch.equal(network.state_dict()["fc.weight"], fresh["fc.weight"] * 0.1)
    asking = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    everything = {name for name, _ in network.named_parameters()}
    assert asking == ({"fc.weight", "fc.bias"} if train == "head" else everything)


def test_the_same_number_of_classes_gets_a_new_head_too(donor: Donor) -> None:
    network = build_from("resnet18", SHAPE, 10, 7, donor)
    fresh = build("resnet18", SHAPE, 10, 7).state_dict()
    assert torch.equal(network.state_dict()["fc.weight"], fresh["fc.weight"] * 0.1)


def test_a_head_that_is_kept_answers_as_before(trained: nn.Module, donor: Donor) -> None:
    network = build_from("resnet18", SHAPE, 10, 7, donor, keep_head=True).eval()
    images = torch.from_numpy(noise(2, *SHAPE))
    with torch.no_grad():
        assert torch.equal(network(images), trained(images))
    with pytest.raises(SpecError, match=r"fc\.weight is \(10, 512\) there and \(4, 512\) here"):
        build_from("resnet18", SHAPE, 4, 7, donor, keep_head=True)


def test_a_step_of_the_head_leaves_the_trunk_and_its_norms(donor: Donor) -> None:
    network = build_from("resnet18", SHAPE, 4, 7, donor, train="head").train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    norms = [module for module in network.modules() if isinstance(module, BatchNorm2d)]
    assert norms and not any(norm.uses_batch for norm in norms)
    images_NHWC = torch.from_numpy(noise(3, *SHAPE))
    optimizer = torch.optim.SGD([each for each in network.parameters() if each.requires_grad], lr=0.1)
    functional.cross_entropy(network(images_NHWC), torch.tensor([0, 1, 2])).backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"fc.weight", "fc.bias"}
    with torch.no_grad():  # what else is in the microbatch does not enter
        torch.testing.assert_close(network(images_NHWC)[:1], network(images_NHWC[:1]))


def test_the_donor_is_copied(donor: Donor) -> None:
    network = build_from("resnet18", SHAPE, 4, 7, donor)
    with torch.no_grad():
        network.get_parameter("conv1.weight").zero_()
    assert donor["conv1.weight"].any()


def test_another_form_of_the_net_is_told_by_name(donor: Donor) -> None:
    told = r"for 64x64x3 .*: conv1\.weight is \(64, 3, 3, 3\) there and \(64, 3, 7, 7\) here; take a bundle"
    with pytest.raises(SpecError, match=told):
        build_from("resnet18", (64, 64, 3), 4, 7, donor)


def test_another_net_is_told_by_name_in_a_line_or_two(donor: Donor) -> None:
    with pytest.raises(
        SpecError, match=r"1\.0\.weight is missing there and \(64, 3, 3, 3\) here.* and \d+ more"
    ) as told:
        build_from("resnet9", SHAPE, 4, 7, donor, train="head")
    assert len(str(told.value)) < 500


def test_a_donor_that_has_more_than_the_trunk_is_refused(donor: Donor) -> None:
    with pytest.raises(SpecError, match=r"layer9\.weight is \(3,\) there and missing here"):
        build_from("resnet18", SHAPE, 4, 7, {**donor, "layer9.weight": np.ones(3, np.float32)})
