from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pileus.bundles import Bundle, Calibration, Manifest, write_bundle
from pileus.bundles.export import export_onnx
from pileus.bundles.load import read_verified
from pileus.spec.preprocessing import Picture
from pileus.store import open_store
from tests.unit.bundles.nets import SmallNet, describe


class GatedBundle(Bundle):
    """Answers as its bundle does, after `gate` is opened; tells by `entered` that a batch waits there."""

    def __init__(self, manifest: Manifest, onnx: bytes) -> None:
        super().__init__(manifest, onnx)
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.failure: Exception | None = None
        self.sizes: list[int] = []
        """Of the batches that have passed the gate."""
        self.gate.set()

    def shares(self, images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.entered.set()
        assert self.gate.wait(30)
        if self.failure is not None:
            raise self.failure
        self.sizes.append(len(images_NHWC))
        return super().shares(images_NHWC)


class Inky(torch.nn.Module):
    """Takes thin ink for a one, or, rather less, a seven, and much ink for no digit at all; for several nothing."""

    def __init__(self, num_logits: int = 11) -> None:
        super().__init__()
        self.dense = torch.nn.Linear(1, num_logits)
        with torch.no_grad():
            self.dense.weight.zero_()
            self.dense.weight[10] = 80.0
            self.dense.bias.copy_(torch.tensor([0.0, 4, 0, 0, 0, 0, 0, 3, 0, 0, -12, -99])[:num_logits])

    def forward(self, images_NHWC: torch.Tensor) -> torch.Tensor:
        share_N1 = images_NHWC.to(torch.float32).flatten(1).mean(1, keepdim=True) / 255
        logits: torch.Tensor = self.dense(share_N1)
        return logits


KNOWING = msgspec.structs.replace(describe(calibration=Calibration(certain=0.95, rejected=0.8)), none="scribbles")


@pytest.fixture(scope="session")
def bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    write_bundle(open_store(folder), "", export_onnx(SmallNet(), 28, 28, 1), describe())
    return folder


@pytest.fixture(scope="session")
def knowing_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What it takes for a one has a confidence under the threshold of rejection: 0.66 a one and 0.24 a seven."""
    folder = tmp_path_factory.mktemp("knowing")
    write_bundle(open_store(folder), "", export_onnx(Inky(), 28, 28, 1), KNOWING)
    return folder


@pytest.fixture(scope="session")
def photographs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    spec = Picture(height=16, width=24)
    write_bundle(open_store(folder), "", export_onnx(SmallNet(16, 24, 3), 16, 24, 3), describe(spec))
    return folder


@pytest.fixture
def gated(bundle_folder: Path) -> Iterator[GatedBundle]:
    manifest, files = read_verified(open_store(bundle_folder))
    bundle = GatedBundle(manifest, files["model.onnx"])
    yield bundle
    bundle.gate.set()
