"""The weights of a bundle by name, for a network that begins with them. Needs the library onnx, and no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pileus.bundles.load import read_verified
from pileus.bundles.manifest import MODEL_FILE, Manifest
from pileus.errors import Damaged, MissingExtra
from pileus.store import open_store

if TYPE_CHECKING:
    from types import ModuleType


def read_weights(place: str | Path) -> tuple[Manifest, dict[str, NDArray[np.float32]]]:
    """What the bundle or run at `place` says of itself, and each float tensor of its graph under its network's name.

    UsageError where there is no bundle, Damaged where a byte was changed or the graph is none, MissingExtra without
    the library onnx.
    """
    manifest, files = read_verified(open_store(place))
    return manifest, _tensors(files[MODEL_FILE], _onnx())


def _tensors(content: bytes, onnx: ModuleType) -> dict[str, NDArray[np.float32]]:
    try:
        graph = onnx.load_from_string(content).graph
    except Exception as error:  # protobuf's own error is not named by onnx
        raise Damaged(f"{MODEL_FILE} is no ONNX graph: {error}; make the bundle again.") from error
    tensors: dict[str, NDArray[np.float32]] = {}
    for tensor in graph.initializer:
        if tensor.external_data:  # would name a file of this machine
            raise Damaged(f"{MODEL_FILE} keeps {tensor.name!r} outside of itself; make the bundle again.")
        if tensor.data_type == onnx.TensorProto.FLOAT:
            tensors[tensor.name] = _array(tensor, onnx)
    return tensors


def _array(tensor: object, onnx: ModuleType) -> NDArray[np.float32]:
    try:
        return np.array(onnx.numpy_helper.to_array(tensor), np.float32)
    except (ValueError, TypeError) as error:
        raise Damaged(f"{MODEL_FILE} holds a tensor that cannot be read: {error}; make the bundle again.") from error


def _onnx() -> ModuleType:
    try:
        import onnx  # noqa: PLC0415 - of the extra train; serving, which has this room too, does without
        import onnx.numpy_helper  # noqa: PLC0415 - as above
    except ImportError as error:
        raise MissingExtra("taking weights from a bundle", "onnx", "train") from error
    return onnx
