"""A loaded bundle: images in, calibrated answers out, by ONNX Runtime.

One thread a batch and no spinning, so that several processes on one machine do not fight for its cores.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pileus.bundles.manifest import MODEL_FILE, Manifest
from pileus.errors import Damaged, MissingExtra, UsageError
from pileus.spec.values import Spec

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Verdict = Literal["certain", "unsure", "rejected"]

DIGITS = 6
"""After the point, that a probability is told with."""
_CHUNK = 32
"""Images a call of the runtime: keeps activations in cache and memory bounded, whatever is asked for."""


class Prediction(Spec, frozen=True, kw_only=True):
    """Numbers are of six digits after the point: finer is noise of single precision."""

    label: str | None
    """None when rejected."""
    confidence: float
    """The highest probability, in [0, 1]."""
    verdict: Verdict
    probabilities: dict[str, float]
    """By class, in the order of the model's classes; what they lack to 1 is the probability of none of them."""


class Judged(NamedTuple):
    """The columns of predictions, each with an entry an image."""

    labels: list[str | None]
    confidences: list[float]
    verdicts: list[Verdict]
    probabilities: list[dict[str, float]]


class Bundle:
    """Safe for threads. Errors: Damaged where the graph does not fit the manifest, MissingExtra."""

    def __init__(self, manifest: Manifest, onnx: bytes, *, threads: int = 1) -> None:
        if threads < 1:
            raise UsageError(f"threads must be 1 or more (got {threads}).")
        self.manifest = manifest
        self.onnx = onnx
        """The graph, as the bundle has it: a server gives it to browsers."""
        self._session = _open_session(onnx, threads)
        _check_graph(self._session, manifest)

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def version(self) -> str:
        """The 16 hexadecimal digits that are shown; the whole hash is `manifest.version`."""
        return self.manifest.short_version

    @property
    def classes(self) -> tuple[str, ...]:
        return self.manifest.classes

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of one image."""
        return self.manifest.input_shape

    def predict(self, images_NHWC: NDArray[np.uint8]) -> list[Prediction]:
        """One answer an image, in order. UsageError for another shape or type."""
        judged = self.judge(self.probabilities(images_NHWC))
        return [
            Prediction(label=label, confidence=confidence, verdict=verdict, probabilities=probabilities)
            for label, confidence, verdict, probabilities in zip(*judged, strict=True)
        ]

    def probabilities(self, images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, K) float32, calibrated. UsageError for another shape or type.

        What a row lacks to 1 is the probability of none of the classes, for a model that knows such a thing.
        """
        return self.shares(images_NHWC)[:, : len(self.classes)]

    def shares(self, images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, L) float32, calibrated: as `probabilities`, and what is beside the classes. UsageError likewise."""
        return softmax(self.logits(images_NHWC), self.manifest.calibration.temperature)

    def logits(self, images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, L) float32 as the graph gives them: one a class, then what it knows of none and of several.

        UsageError for another shape or type.
        """
        self._check_images(images_NHWC)
        starts = range(0, len(images_NHWC), _CHUNK)
        parts = [self._logits(images_NHWC[start : start + _CHUNK]) for start in starts]
        return np.concatenate(parts) if parts else np.empty((0, len(self.manifest.labels)), np.float32)

    def belonging(self, probabilities_NK: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N,): how far each row is taken for one of the classes; below the threshold its answer is rejected."""
        fold = np.max if self.manifest.none is None else np.sum
        return np.asarray(fold(probabilities_NK, axis=-1))

    def judge(self, probabilities_NK: NDArray[np.float32], rejected_N: NDArray[np.float64] | None = None) -> Judged:
        """What each row of probabilities says by the bundle's thresholds, or rejected below `rejected_N`."""
        best_N, confidence_N = probabilities_NK.argmax(axis=1), probabilities_NK.max(axis=1, initial=0.0)
        calibration, classes = self.manifest.calibration, self.classes
        verdicts: list[Verdict] = ["unsure", "certain", "rejected"]
        certain_N = confidence_N.astype(np.float64) >= calibration.certain
        least_N = calibration.rejected if rejected_N is None else rejected_N
        verdict_N = np.where(self.belonging(probabilities_NK).astype(np.float64) < least_N, 2, certain_N).tolist()
        rounded_NK = probabilities_NK.astype(np.float64).round(DIGITS)
        return Judged(
            [None if verdict == 2 else classes[best] for best, verdict in zip(best_N.tolist(), verdict_N, strict=True)],
            confidence_N.astype(np.float64).round(DIGITS).tolist(),
            [verdicts[verdict] for verdict in verdict_N],
            [dict(zip(classes, row, strict=True)) for row in rounded_NK.tolist()],
        )

    def _logits(self, images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        outputs = self._session.run(["logits"], {"images": np.ascontiguousarray(images_NHWC)})
        return np.asarray(outputs[0], np.float32)

    def _check_images(self, images_NHWC: object) -> None:
        height, width, channels = self.input_shape
        if (
            not isinstance(images_NHWC, np.ndarray)
            or images_NHWC.dtype != np.uint8
            or images_NHWC.shape[1:] != self.input_shape
        ):
            dtype, shape = getattr(images_NHWC, "dtype", None), getattr(images_NHWC, "shape", None)
            raise UsageError(
                f"images must be a uint8 array of shape (N, {height}, {width}, {channels}) "
                f"(got {type(images_NHWC).__name__}, dtype={dtype}, shape={shape}); convert them."
            )


def softmax(logits_NL: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """(N, L): of logits / temperature."""
    scaled_NL = logits_NL / np.float32(temperature)
    exponents_NL = np.exp(scaled_NL - scaled_NL.max(axis=1, keepdims=True, initial=-np.inf))
    return np.asarray(exponents_NL / exponents_NL.sum(axis=1, keepdims=True), np.float32)


def _open_session(onnx: bytes, threads: int) -> InferenceSession:
    # Official builds send usage data unless this is set before the import; a user's own choice is kept.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime  # noqa: PLC0415 - of the extras serve and train; this is its one adapter
    except ImportError as error:
        raise MissingExtra("answering with a bundle", "onnxruntime", "serve") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's own exceptions share no base but this one
        reason = str(error).splitlines()[0][:200]
        raise Damaged(f"{MODEL_FILE} is no graph that ONNX Runtime opens: {reason}") from error


def _check_graph(session: InferenceSession, manifest: Manifest) -> None:
    inputs = [(value.name, value.type, value.shape[1:]) for value in session.get_inputs()]
    outputs = [(value.name, value.type, value.shape[1:]) for value in session.get_outputs()]
    asked_inputs = [("images", "tensor(uint8)", list(manifest.input_shape))]
    asked_outputs = [("logits", "tensor(float)", [len(manifest.labels)])]
    if (inputs, outputs) != (asked_inputs, asked_outputs):
        raise Damaged(
            f"{MODEL_FILE} does not fit its manifest: it takes {inputs} and gives {outputs}, "
            f"the manifest asks for {asked_inputs} and {asked_outputs}; make the bundle again."
        )
