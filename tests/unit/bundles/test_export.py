from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import onnx as onnx_library
import pytest
import torch

from pileus.bundles import Bundle
from pileus.bundles.export import export_onnx
from pileus.bundles.manifest import StoredFile, make_manifest
from pileus.models.layers import BatchNorm2d, ScalePixels
from pileus.spec.preprocessing import Picture
from tests.unit.bundles.nets import SmallNet, describe


def bundle_of(onnx: bytes, height: int, width: int, channels: int) -> Bundle:
    description = describe(Picture(height=height, width=width, channels=3 if channels == 3 else 1))
    return Bundle(make_manifest(description, {"model.onnx": StoredFile(sha256="", size_bytes=0)}), onnx)


@pytest.mark.parametrize(("height", "width", "channels"), [(28, 28, 1), (32, 32, 3), (8, 12, 1)])
def test_onnx_runtime_answers_as_torch_does(height: int, width: int, channels: int) -> None:
    net = SmallNet(height, width, channels).eval()
    bundle = bundle_of(export_onnx(net, height, width, channels), height, width, channels)
    generator = np.random.default_rng(3)
    for count in (1, 2, 7, 130):
        images_NHWC = generator.integers(0, 256, (count, height, width, channels), np.uint8)
        with torch.no_grad():
            expected_NK = torch.softmax(net(torch.from_numpy(images_NHWC)), dim=1).numpy()
        np.testing.assert_allclose(bundle.probabilities(images_NHWC), expected_NK, atol=1e-6)


def test_the_graph_is_in_evaluation_mode_and_the_module_is_left_as_it_was() -> None:
    net = SmallNet()
    net.train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    onnx = export_onnx(net, 28, 28, 1)
    assert net.training and net.norm.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    image_NHWC = np.full((1, 28, 28, 1), 90, np.uint8)
    bundle = bundle_of(onnx, 28, 28, 1)
    assert np.array_equal(bundle.probabilities(image_NHWC), bundle.probabilities(image_NHWC))


def test_the_same_weights_give_the_same_bytes_and_no_path_of_this_machine(onnx: bytes, net: SmallNet) -> None:
    assert export_onnx(net, 28, 28, 1) == onnx
    assert Path(__file__).parent.as_posix().encode() not in onnx


def test_names_types_and_the_free_batch(onnx: bytes) -> None:
    graph = onnx_library.load_from_string(onnx).graph
    (images,), (logits,) = graph.input, graph.output
    assert (images.name, logits.name) == ("images", "logits")
    assert images.type.tensor_type.elem_type == onnx_library.TensorProto.UINT8
    assert images.type.tensor_type.shape.dim[0].dim_param == "batch"
    assert not any(tensor.external_data for tensor in graph.initializer)


def test_every_weight_keeps_its_name_also_beside_an_equal_one(net: SmallNet) -> None:
    untrained = torch.nn.Sequential(ScalePixels(), *(layer for _ in range(3) for layer in normed()), torch.nn.Flatten())
    for network, channels in ((net, 1), (untrained, 3)):
        size = 28 if network is net else 4
        graph = onnx_library.load_from_string(export_onnx(network, size, size, channels)).graph
        weights = {name: value for name, value in network.state_dict().items() if value.is_floating_point()}
        kept = {tensor.name: onnx_library.numpy_helper.to_array(tensor) for tensor in graph.initializer}
        assert kept.keys() == weights.keys()
        assert all(np.array_equal(kept[name], value.numpy()) for name, value in weights.items())


def normed() -> tuple[torch.nn.Module, ...]:
    return torch.nn.Conv2d(3, 3, 1, bias=False), BatchNorm2d(3)


def test_export_is_quick(net: SmallNet) -> None:
    """The dynamo exporter took 4 s here; a demo of a minute has no room for it."""
    start = time.process_time()
    export_onnx(net, 28, 28, 1)
    assert time.process_time() - start < 2.0
