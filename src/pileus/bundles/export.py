"""From a trained torch module to the ONNX graph of a bundle.

The TorchScript exporter (`dynamo=False`) is used on purpose. Measured on torch 2.13 for a small
convolutional net: 0.2 s for the first call and 0.04 s for later ones, against 4 s and 0.7 s with
`dynamo=True`. And the dynamo exporter writes the source paths of the exporting machine into the graph, so
that the same weights would give another bundle version on each machine. torch calls this exporter
deprecated: the warning is silenced here, and the tests of this module will say when torch removes it.

Every weight goes into the graph under the name that it has in the network, so that `bundles/weights.py` can begin
another training with it. By itself the exporter would fold norms into convolutions and keep one of two equal tensors;
the runtime does both when it opens the graph, so serving is as fast (docs/decisions/0013-weights-by-name.md).
"""

from __future__ import annotations

import copy
import io
import warnings

import onnx
import torch

_OPSET = 18


def export_onnx(module: torch.nn.Module, height: int, width: int, channels: int) -> bytes:
    """The graph in evaluation mode: `images` (N, H, W, C) uint8 -> `logits` (N, K) float32; N is free.

    Weights are inside. `module` is left as it is, in any mode, on any device. The same weights give the same
    bytes.
    """
    content = _weights_fixed(_traced(module, height, width, channels))
    onnx.checker.check_model(content, full_check=True)
    return content


def _traced(module: torch.nn.Module, height: int, width: int, channels: int) -> bytes:
    """The graph as the exporter writes it, with an input for each weight."""
    exported = copy.deepcopy(module).cpu().eval()
    example_NHWC = torch.zeros((2, height, width, channels), dtype=torch.uint8)
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            exported,
            (example_NHWC,),
            buffer,  # type: ignore[arg-type]  # a file is documented for this exporter, though not in its types
            dynamo=False,
            opset_version=_OPSET,
            input_names=["images"],
            output_names=["logits"],
            dynamic_axes={"images": {0: "batch"}, "logits": {0: "batch"}},
            training=torch.onnx.TrainingMode.PRESERVE,  # which is evaluation, without the folding of norms
            do_constant_folding=False,
            keep_initializers_as_inputs=True,  # the one way to keep equal tensors apart
        )
    return buffer.getvalue()


def _weights_fixed(content: bytes) -> bytes:
    """The graph with `images` as its one input: weights that a caller could replace would not be folded."""
    model = onnx.load_from_string(content)
    del model.graph.input[1:]
    return bytes(model.SerializeToString(deterministic=True))
