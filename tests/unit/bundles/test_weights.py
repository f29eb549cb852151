from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx as onnx_library
import pytest

from pileus.bundles import write_bundle
from pileus.bundles.weights import read_weights
from pileus.errors import Damaged, MissingExtra, UsageError
from pileus.store import open_store
from tests.unit.bundles.nets import SmallNet, describe


def test_each_weight_comes_under_its_name(tmp_path: Path, onnx: bytes, net: SmallNet) -> None:
    written = write_bundle(open_store(tmp_path), "bundle", onnx, describe())
    for place in (tmp_path, str(tmp_path / "bundle")):
        manifest, weights = read_weights(place)
        assert manifest == written
        state = {name: value.numpy() for name, value in net.state_dict().items() if value.is_floating_point()}
        assert weights.keys() == state.keys()
        assert all(np.array_equal(weights[name], state[name]) for name in state)
        assert all(array.flags.writeable and array.dtype == np.float32 for array in weights.values())


def test_a_changed_bundle_is_refused(tmp_path: Path, onnx: bytes) -> None:
    write_bundle(open_store(tmp_path), "", onnx, describe())
    (tmp_path / "model.onnx").write_bytes(onnx[:-1] + bytes([onnx[-1] ^ 1]))
    with pytest.raises(Damaged, match=r"model\.onnx was changed"):
        read_weights(tmp_path)


def test_where_there_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no bundle at"):
        read_weights(tmp_path)


def test_no_file_of_this_machine_is_read_for_a_graph(tmp_path: Path, onnx: bytes) -> None:
    model = onnx_library.load_from_string(onnx)
    tensor = model.graph.initializer[0]
    tensor.data_location = onnx_library.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    write_bundle(open_store(tmp_path), "", model.SerializeToString(), describe())
    with pytest.raises(Damaged, match=r"keeps .* outside of itself"):
        read_weights(tmp_path)


def test_what_is_no_graph_is_damage(tmp_path: Path, onnx: bytes) -> None:
    write_bundle(open_store(tmp_path / "a"), "", b"no graph at all", describe())
    with pytest.raises(Damaged, match="no ONNX graph"):
        read_weights(tmp_path / "a")
    model = onnx_library.load_from_string(onnx)
    model.graph.initializer[0].raw_data = b"short"
    write_bundle(open_store(tmp_path / "b"), "", model.SerializeToString(), describe())
    with pytest.raises(Damaged, match="cannot be read"):
        read_weights(tmp_path / "b")


def test_without_onnx_the_extra_is_named(tmp_path: Path, onnx: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    write_bundle(open_store(tmp_path), "", onnx, describe())
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtra, match=r"pileus\[train\]"):
        read_weights(tmp_path)
