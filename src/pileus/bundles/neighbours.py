"""From labelled images to the ONNX graph of a bundle that answers by its nearest neighbours, exact on any machine.

    products = images x neighbours        uint8 x uint8 -> int32 (MatMulInteger)
    nearest  = the k least of |neighbour|^2 - 2 products; the square of the image itself changes no order
    logits   = log(votes + half a vote by nearness + a little)

Both factors are uint8: on processors without VNNI the runtime's product of uint8 and int8 saturates at 16 bits. Of
equal distances TopK takes the lower index, as ONNX has it. The same images, labels and k give the same bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
from numpy.typing import NDArray

from pileus.errors import UsageError

_OPSET = 18
_IR_VERSION = 8
_MOST_BYTES = 1 << 30
"""Of images; a graph in one file is bounded by 2 GiB."""


def export_neighbours(
    images_MHWC: NDArray[np.uint8], labels_M: NDArray[np.int64], k: int, num_classes: int, prior_votes: float
) -> bytes:
    """The graph: `images` (N, H, W, C) uint8 -> `logits` (N, K) float32; N is free.

    UsageError where the images take more than a gibibyte.
    """
    if images_MHWC.nbytes > _MOST_BYTES:
        raise UsageError(
            f"a bundle of neighbours holds every image, at most {_MOST_BYTES >> 20:,} MiB "
            f"(got {images_MHWC.nbytes >> 20:,} MiB); take fewer or smaller ones."
        )
    images_MD = images_MHWC.reshape(len(images_MHWC), -1)
    constants: dict[str, NDArray[Any]] = {
        "neighbours": np.ascontiguousarray(images_MD.T),
        "labels": labels_M,
        "squares": _squares(images_MD)[None],
        "flat": np.array([0, -1]),
        "two": np.array(2, np.int32),
        "k": np.array([k]),
        "num_classes": np.array(num_classes),
        "no_and_yes": np.array([0, 1], np.float32),
        "nearness": ((k - np.arange(k)) / (2 * k)).astype(np.float32)[:, None],
        "prior_votes": np.array(prior_votes, np.float32),
        "of_neighbours": np.array([1]),
    }
    graph = onnx.helper.make_graph(
        _nodes(),
        "neighbours",
        [onnx.helper.make_tensor_value_info("images", onnx.TensorProto.UINT8, ["batch", *images_MHWC.shape[1:]])],
        [onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["batch", num_classes])],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opset = onnx.helper.make_opsetid("", _OPSET)
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=_IR_VERSION, producer_name="pileus")
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _nodes() -> list[onnx.NodeProto]:
    steps: tuple[tuple[str, list[str], list[str], dict[str, Any]], ...] = (
        ("Reshape", ["images", "flat"], ["queries"], {}),
        ("MatMulInteger", ["queries", "neighbours"], ["products"], {}),
        ("Mul", ["products", "two"], ["doubled"], {}),
        ("Sub", ["squares", "doubled"], ["distances"], {}),
        ("TopK", ["distances", "k"], ["least", "nearest"], {"largest": 0, "sorted": 1}),
        ("Gather", ["labels", "nearest"], ["classes"], {}),
        ("OneHot", ["classes", "num_classes", "no_and_yes"], ["ballots"], {}),
        ("ReduceSum", ["ballots", "of_neighbours"], ["votes"], {"keepdims": 0}),
        ("Mul", ["ballots", "nearness"], ["near_ballots"], {}),
        ("ReduceMax", ["near_ballots", "of_neighbours"], ["half_votes"], {"keepdims": 0}),
        ("Add", ["votes", "half_votes"], ["scores"], {}),
        ("Add", ["scores", "prior_votes"], ["shares"], {}),
        ("Log", ["shares"], ["logits"], {}),
    )
    return [onnx.helper.make_node(kind, given, made, **how) for kind, given, made, how in steps]


def _squares(images_MD: NDArray[np.uint8]) -> NDArray[np.int32]:
    """(M,) the sum of squares of each."""
    return np.asarray(np.einsum("md,md->m", images_MD, images_MD, dtype=np.int32))
