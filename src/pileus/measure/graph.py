"""The network of a bundle as nodes that can be drawn: what ONNX says, without the weights."""

from __future__ import annotations

from typing import NamedTuple

import onnx

_MOST_TEXT = 120
"""Characters of an attribute that are kept."""

Shape = tuple[int | None, ...]
"""None: any."""


class Node(NamedTuple):
    """One operation, input or weight."""

    name: str
    """Unique in its graph; '/' parts the rooms that it lies in."""
    op: str
    inputs: tuple[str, ...]
    """`name` of the node that each comes from, with ':k' behind it for its k-th result, k > 0."""
    shape: Shape | None
    """Of its first result; None where it cannot be told."""
    attributes: dict[str, str]


def nodes_of(model: bytes) -> list[Node]:
    """The nodes of a serialized ONNX model, producers before consumers."""
    graph = _shaped(onnx.load_from_string(model)).graph
    shapes = {value.name: _shape(value) for value in (*graph.input, *graph.value_info, *graph.output)}
    inputs = [Node(_name(value.name), "Input", (), shapes[value.name], {}) for value in graph.input]
    weights = [Node(_name(one.name), "Weight", (), tuple(one.dims), {}) for one in graph.initializer]
    places = {value.name: _name(value.name) for value in (*graph.input, *graph.initializer)}
    found = [*inputs, *weights]
    taken = set(places.values())
    for number, node in enumerate(graph.node):
        name = _free(_name(node.name or f"{node.op_type}_{number}"), taken)
        origins = tuple(places[origin] for origin in node.input if origin)
        places |= {result: f"{name}:{k}" if k else name for k, result in enumerate(node.output)}
        attributes = {one.name: _told(one) for one in node.attribute}
        found.append(Node(name, node.op_type, origins, shapes.get(node.output[0]), attributes))
    outputs = [
        Node(f"result/{_name(one.name)}", "Output", (places[one.name],), shapes[one.name], {}) for one in graph.output
    ]
    return [*found, *outputs]


def _shaped(model: onnx.ModelProto) -> onnx.ModelProto:
    """With the shapes between its nodes. Floats never tell a shape, so they are not copied."""
    for weight in model.graph.initializer:
        if weight.data_type == onnx.TensorProto.FLOAT:
            weight.ClearField("raw_data")
    return onnx.shape_inference.infer_shapes(model)


def _name(name: str) -> str:
    """'conv.weight' and '/conv/Conv' lie in the same room."""
    return name.strip("/").replace(".", "/").replace(":", "_")


def _free(name: str, taken: set[str]) -> str:
    """A network that is asked twice has nodes that differ by a '/' before their names alone."""
    found, again = name, 1
    while found in taken:
        again += 1
        found = f"{name}_again{again}"
    taken.add(found)
    return found


def _shape(value: onnx.ValueInfoProto) -> Shape:
    return tuple(side.dim_value if side.HasField("dim_value") else None for side in value.type.tensor_type.shape.dim)


def _told(attribute: onnx.AttributeProto) -> str:
    if attribute.type == onnx.AttributeProto.TENSOR:
        return f"a tensor {list(attribute.t.dims)}"
    value = onnx.helper.get_attribute_value(attribute)
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return text[:_MOST_TEXT]
