"""A served model for end-to-end tests: a small net trained for seconds on the embedded pen strokes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from pileus.bundles import BundleDescription, Calibration, write_bundle
from pileus.bundles.export import export_onnx
from pileus.data.ports import Split
from pileus.data.sources.strokes import load_strokes
from pileus.preprocessing.strokes import rasterise
from pileus.spec.preprocessing import Drawing, Picture
from pileus.store import open_store
from tests.e2e.digits import digits, fingerprint
from tests.e2e.serving import served
from tests.unit.bundles.nets import SmallNet, describe

__all__ = ["digits", "fingerprint"]
"""Fixtures of this folder that are made elsewhere."""


@pytest.fixture(scope="session")
def digits_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Answers most drawings right after three epochs."""
    drawn = load_strokes(Split.TRAIN)
    images_NHWC = torch.from_numpy(np.stack([rasterise(digit.strokes, Drawing()) for digit in drawn]))
    labels_N = torch.tensor([digit.label for digit in drawn])
    torch.manual_seed(0)
    net = SmallNet()
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(3):
        for chosen in torch.split(torch.randperm(len(labels_N)), 64):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(net(images_NHWC[chosen]), labels_N[chosen])
            torch.autograd.backward(loss)
            optimizer.step()
    description = BundleDescription(
        name="digits",
        classes=tuple("0123456789"),
        preprocessing=Drawing(),
        calibration=Calibration(certain=0.9, rejected=0.3),
    )
    folder = tmp_path_factory.mktemp("digits")
    write_bundle(open_store(folder), "", export_onnx(net, 28, 28, 1), description)
    return folder


@pytest.fixture(scope="session")
def photographs_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    onnx = export_onnx(SmallNet(32, 32, 3), 32, 32, 3)
    description = describe(Picture(height=32, width=32), calibration=Calibration(certain=0.9, rejected=0.0))
    write_bundle(open_store(folder), "", onnx, description)
    return folder


@pytest.fixture(scope="module")
def server(digits_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(digits_bundle, "--feedback", str(tmp_path_factory.mktemp("feedback"))) as url:
        yield url
