"""Every network, at the smallest size it takes and at others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pileus.bundles import Bundle
from pileus.bundles.export import export_onnx
from pileus.bundles.manifest import StoredFile, make_manifest
from pileus.errors import SpecError
from pileus.models.registry import NETWORKS, build, check_network
from pileus.recipes.load import load_recipe, recipe_names
from pileus.spec.preprocessing import Picture
from pileus.spec.resolve import resolve
from tests.contracts.tiny import noise
from tests.unit.bundles.nets import describe

TOLD = (Path(__file__).parents[3] / "docs/internals/models.md").read_text("utf-8")
BIG_AND_GREY = ("vgg19", 1)
"""Left out where all are tried: seconds for what the other channels show."""
NORMED = ("drawings_cnn", "mobilenet_v2", "resnet18", "resnet9")
"""Networks with norms over the microbatch."""


@pytest.mark.parametrize(
    ("name", "channels"),
    [(name, channels) for name in NETWORKS for channels in (1, 3) if (name, channels) != BIG_AND_GREY],
)
def test_a_network_takes_what_it_says(name: str, channels: int) -> None:
    least = NETWORKS[name].smallest_side_px
    for height, width in ((least, least), (least + 1, 2 * least + 3)):
        images_NHWC = torch.from_numpy(noise(2, height, width, channels))
        logits_NK = build(name, (height, width, channels), 5, seed=0)(images_NHWC)
        assert logits_NK.shape == (2, 5)
        assert torch.isfinite(logits_NK).all()
        assert not torch.equal(logits_NK[0], logits_NK[1])


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_too_small_is_told(name: str) -> None:
    least = NETWORKS[name].smallest_side_px
    check_network(name, None)
    with pytest.raises(SpecError, match=rf"at least {least} pixels a side \(got {least}x{least - 1}\).*data\.size="):
        build(name, (least, least - 1, 3), 5, seed=0)


@pytest.mark.parametrize("recipe", recipe_names())
def test_every_recipe_names_a_network_that_takes_its_images(recipe: str) -> None:
    spec = resolve(load_recipe(recipe))
    check_network(spec.model, spec.data.size)


def test_an_unknown_network_names_the_nearest() -> None:
    with pytest.raises(SpecError, match="no model is called 'photos_cnn'; did you mean 'photo_cnn'"):
        check_network("photos_cnn", (32, 32))


def test_the_size_of_photographs_changes_no_number_of_weights() -> None:
    sizes = [(32, 32), (64, 48), (224, 224)]
    counts = {sum(weight.numel() for weight in build("photo_cnn", (*size, 3), 5, 0).parameters()) for size in sizes}
    assert len(counts) == 1


@pytest.mark.parametrize(
    ("name", "shape_HWC", "num_classes", "published"),
    [
        ("digits_cnn", (8, 8, 1), 10, 43_050),
        ("drawings_cnn", (28, 28, 1), 10, 269_546),
        ("lenet5", (32, 32, 1), 10, 61_706),
        ("lenet5", (28, 28, 1), 10, 61_706),
        ("mnist_cnn", (28, 28, 1), 10, 542_230),
        ("mobilenet_v2", (224, 224, 3), 1000, 3_504_872),
        ("photo_cnn", (64, 48, 3), 10, 242_122),
        ("resnet18", (224, 224, 3), 1000, 11_689_512),
        ("resnet18", (32, 32, 3), 10, 11_173_962),
        ("cifar_cnn", (32, 32, 3), 10, 1_971_328),
        ("resnet9", (32, 32, 3), 10, 6_573_120),
        ("strokes_cnn", (28, 28, 1), 10, 130_890),
        ("vgg19", (224, 224, 3), 1000, 143_667_240),
    ],
)
def test_the_number_of_parameters_is_the_published_one(
    name: str, shape_HWC: tuple[int, int, int], num_classes: int, published: int
) -> None:
    with torch.device("meta"):  # shapes alone: no weight is drawn
        network = NETWORKS[name].make(*shape_HWC, num_classes)
    assert sum(parameter.numel() for parameter in network.parameters()) == published
    assert f"| {published:,} |" in TOLD


@pytest.mark.parametrize("name", NETWORKS)
def test_the_internals_tell_of_each_network_and_its_least_side(name: str) -> None:
    row = next(line for line in TOLD.splitlines() if line.startswith(f"| `{name}` |"))
    assert row.split("|")[4].strip() == str(NETWORKS[name].smallest_side_px)


@pytest.mark.parametrize("name", NORMED)
def test_a_microbatch_of_one_trains_at_the_smallest_size(name: str) -> None:
    """The last of an epoch may hold one sample, whose features must be more than one pixel to have a spread."""
    least = NETWORKS[name].smallest_side_px
    network = build(name, (least, least, 3), 5, seed=0).train()
    network(torch.from_numpy(noise(1, least, least, 3))).sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters() if parameter.grad is not None)


def test_no_photograph_enters_the_answer_to_another() -> None:
    network = build("photo_cnn", (32, 40, 3), 5, seed=0).eval()
    images_NHWC = torch.from_numpy(noise(3, 32, 40, 3))
    together, alone = network(images_NHWC), network(images_NHWC[:1])
    torch.testing.assert_close(together[:1], alone)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "vgg19"])
def test_the_graph_that_ships_answers_as_the_network(name: str) -> None:
    height, width = max(32, NETWORKS[name].smallest_side_px), 80
    network = build(name, (height, width, 3), 10, seed=0).eval()
    stored = {"model.onnx": StoredFile(sha256="", size_bytes=0)}
    onnx = export_onnx(network, height, width, 3)
    bundle = Bundle(make_manifest(describe(Picture(height=height, width=width)), stored), onnx)
    for count in (1, 3):
        images_NHWC = noise(count, height, width, 3)
        with torch.no_grad():
            wanted_NK = torch.softmax(network(torch.from_numpy(images_NHWC)), dim=1).numpy()
        np.testing.assert_allclose(bundle.probabilities(images_NHWC), wanted_NK, atol=1e-4)
