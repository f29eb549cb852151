"""Pileus: from labelled images to a trained, deployed, measured image classifier.

    run = pileus.train("mnist_cnn", data="path/to/mnist", workers=2)
    model = pileus.load(run.bundle)        # needs no torch
    model.predict(images)                  # (N, H, W, C) uint8
    engine = pileus.engines.connect("local")
    with pileus.read("records/photos", batch_size=64, size=(224, 224)) as reader:      # needs no torch
        for batch in reader.epoch(0):
            batch.images_NHWC, batch.labels_N

What needs a library of an extra is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pileus import engines
    from pileus.api.reading import read
    from pileus.api.training import resume, train
    from pileus.bundles.load import load

__all__ = ["engines", "load", "read", "resume", "train"]

_HOMES = {
    "load": "pileus.bundles.load",
    "read": "pileus.api.reading",
    "resume": "pileus.api.training",
    "train": "pileus.api.training",
}


def __getattr__(name: str) -> Any:
    if name == "engines":
        return importlib.import_module("pileus.engines")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'pileus' has no attribute {name!r}")
