from __future__ import annotations

import pytest

from pileus.bundles.export import export_onnx
from tests.unit.bundles.nets import SmallNet


@pytest.fixture(scope="session")
def net() -> SmallNet:
    return SmallNet().eval()


@pytest.fixture(scope="session")
def onnx(net: SmallNet) -> bytes:
    return export_onnx(net, 28, 28, 1)
