"""A small real network, for tests of bundles and serving that must not wait for a training run."""

from __future__ import annotations

import torch

from pileus.bundles import BundleDescription, Calibration, Provenance
from pileus.spec.preprocessing import Drawing, Preprocessing


class SmallNet(torch.nn.Module):
    """(N, H, W, C) uint8 -> (N, classes) float32: convolution, batch normalisation, dropout, dense."""

    def __init__(self, height: int = 28, width: int = 28, channels: int = 1, classes: int = 10) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.convolution = torch.nn.Conv2d(channels, 8, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(8)
        self.dropout = torch.nn.Dropout(0.5)
        self.dense = torch.nn.Linear(8 * (height // 2) * (width // 2), classes)

    def forward(self, images_NHWC: torch.Tensor) -> torch.Tensor:
        features_NCHW = images_NHWC.permute(0, 3, 1, 2).to(torch.float32) / 255
        features_NCHW = torch.relu(self.norm(self.convolution(features_NCHW)))
        features_NCHW = torch.nn.functional.max_pool2d(features_NCHW, 2)
        logits: torch.Tensor = self.dense(self.dropout(features_NCHW.flatten(1)))
        return logits


def describe(
    preprocessing: Preprocessing | None = None, *, calibration: Calibration | None = None
) -> BundleDescription:
    return BundleDescription(
        name="digits",
        classes=tuple("0123456789"),
        preprocessing=preprocessing or Drawing(),
        calibration=calibration or Calibration(),
        metrics={"accuracy": 0.75},
        provenance=Provenance(run="of-a-test", weights="00ff", versions={"torch": str(torch.__version__)}),
    )
