"""Every network, at the smallest size it takes and at others."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pileus.bundles import Bundle
from pileus.bundles.export import export_onnx
from pileus.bundles.manifest import StoredFile, make_manifest
from pileus.errors import SpecError
from pileus.models.registry import NETWORKS, build, check_network
from pileus.spec.preprocessing import Picture
from tests.contracts.tiny import noise
from tests.unit.bundles.nets import describe


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", NETWORKS)
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


def test_an_unknown_network_names_the_nearest() -> None:
    with pytest.raises(SpecError, match="no model is called 'photos_cnn'; did you mean 'photo_cnn'"):
        check_network("photos_cnn", (32, 32))


def test_the_size_of_photographs_changes_no_number_of_weights() -> None:
    sizes = [(32, 32), (64, 48), (224, 224)]
    counts = {sum(weight.numel() for weight in build("photo_cnn", (*size, 3), 5, 0).parameters()) for size in sizes}
    assert len(counts) == 1


def test_no_photograph_enters_the_answer_to_another() -> None:
    network = build("photo_cnn", (32, 40, 3), 5, seed=0).eval()
    images_NHWC = torch.from_numpy(noise(3, 32, 40, 3))
    together, alone = network(images_NHWC), network(images_NHWC[:1])
    torch.testing.assert_close(together[:1], alone)


def test_the_graph_that_ships_answers_as_the_network() -> None:
    network = build("photo_cnn", (32, 40, 3), 10, seed=0).eval()
    description = describe(Picture(height=32, width=40))
    stored = {"model.onnx": StoredFile(sha256="", size_bytes=0)}
    bundle = Bundle(make_manifest(description, stored), export_onnx(network, 32, 40, 3))
    images_NHWC = noise(4, 32, 40, 3)
    with torch.no_grad():
        wanted_NK = torch.softmax(network(torch.from_numpy(images_NHWC)), dim=1).numpy()
    np.testing.assert_allclose(bundle.probabilities(images_NHWC), wanted_NK, atol=1e-5)
