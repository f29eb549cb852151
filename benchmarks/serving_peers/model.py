"""The model as every peer has it: the bundle's ONNX file, one thread a batch, and an answer as JSON.

Raw bytes in, a label and all probabilities out, as `pileus serve` answers, by the same runtime with the same options.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import onnxruntime


class Job(NamedTuple):
    """What a peer's process is told on its command line."""

    bundle: str
    port: int
    settings: dict[str, Any]

    @property
    def workers(self) -> int:
        return int(self.settings["workers"])


def told_job() -> Job:
    """From the command line, or of the process that started this one: servers start workers by themselves."""
    text = os.environ.setdefault("SERVING_PEER_JOB", sys.argv[-1])
    return Job(**json.loads(text))


class Model:
    """Loaded once in each process that answers."""

    def __init__(self, bundle: str) -> None:
        manifest = json.loads((Path(bundle) / "manifest.json").read_text())
        spec = manifest["preprocessing"]
        self.shape = spec["height"], spec["width"], spec["channels"]
        self._classes: list[str] = manifest["classes"]
        self._temperature = np.float32(manifest["calibration"]["temperature"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(str(Path(bundle) / "model.onnx"), options)
        self._encode = msgspec.json.Encoder().encode
        self.answers([bytes(int(np.prod(self.shape)))])

    def answers(self, bodies: Sequence[bytes]) -> list[bytes]:
        """JSON, one of each body."""
        images_NHWC = np.frombuffer(b"".join(bodies), np.uint8).reshape(-1, *self.shape)
        logits_NK = self._session.run(["logits"], {"images": images_NHWC})[0] / self._temperature
        exponents_NK = np.exp(logits_NK - logits_NK.max(axis=1, keepdims=True))
        rows_NK = (exponents_NK / exponents_NK.sum(axis=1, keepdims=True))[:, : len(self._classes)]  # none is the last
        best_N = rows_NK.argmax(axis=1).tolist()
        return [
            self._encode({"label": self._classes[best], "probabilities": dict(zip(self._classes, row, strict=True))})
            for best, row in zip(best_N, rows_NK.tolist(), strict=True)
        ]
