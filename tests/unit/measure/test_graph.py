"""The nodes of a bundle's network, by a network whose every edge is known."""

from __future__ import annotations

import torch

from pileus.bundles.export import export_onnx
from pileus.measure.graph import nodes_of
from pileus.models.layers import average_mirrored
from tests.unit.bundles.nets import SmallNet


class Forked(torch.nn.Module):
    """One tensor split in two results of one node, of which the second is used last."""

    def __init__(self) -> None:
        super().__init__()
        self.out = torch.nn.Linear(12, 3)

    def forward(self, images_NHWC: torch.Tensor) -> torch.Tensor:
        first, second = torch.split(images_NHWC.float().flatten(1), 12, dim=1)
        result: torch.Tensor = self.out(torch.relu(first) + second)
        return result


def test_each_input_is_a_node_before() -> None:
    seen: set[str] = set()
    nodes = nodes_of(export_onnx(SmallNet(), 28, 28, 1))
    for node in nodes:
        assert {origin.partition(":")[0] for origin in node.inputs} <= seen, node
        seen.add(node.name)
    assert len(seen) == len(nodes)


def test_shapes_leave_the_number_of_images_open() -> None:
    nodes = {node.name: node for node in nodes_of(export_onnx(SmallNet(), 28, 28, 1))}
    assert nodes["images"].shape == (None, 28, 28, 1)
    assert nodes["result/logits"].shape == (None, 10)
    assert any(node.op == "Weight" and node.shape == (10,) for node in nodes.values())


def test_a_network_that_is_asked_twice_has_nodes_of_as_many_names() -> None:
    network = SmallNet()
    average_mirrored(network)
    nodes = nodes_of(export_onnx(network, 28, 28, 1))
    assert len({node.name for node in nodes}) == len(nodes)
    assert sum(node.op == "Conv" for node in nodes) == 2 * sum(
        node.op == "Conv" for node in nodes_of(export_onnx(SmallNet(), 28, 28, 1))
    )


def test_a_weight_lies_with_the_layer_that_uses_it() -> None:
    nodes = {node.name: node for node in nodes_of(export_onnx(Forked(), 4, 6, 1))}
    assert nodes["out/Gemm"].inputs[1:] == ("out/weight", "out/bias")


def test_a_second_result_is_told_from_the_first() -> None:
    nodes = {node.name: node for node in nodes_of(export_onnx(Forked(), 4, 6, 1))}
    (split,) = (node.name for node in nodes.values() if node.op == "Split")
    (relu,) = (node for node in nodes.values() if node.op == "Relu")
    (add,) = (node for node in nodes.values() if node.op == "Add")
    assert relu.inputs == (split,)
    assert add.inputs == (relu.name, f"{split}:1")
    assert nodes[split].attributes["axis"] == "1"
