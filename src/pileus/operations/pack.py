"""From agreed weights to what ships: calibrate on validation, look at the test part once, write the bundle."""

from __future__ import annotations

import functools
import importlib.metadata
import time
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from pileus.bundles.export import export_onnx
from pileus.bundles.manifest import BundleDescription, Calibration, Manifest, Provenance
from pileus.bundles.predictor import Bundle
from pileus.bundles.write import write_bundle
from pileus.data.batches import Part, load_part, shape_of
from pileus.data.ports import Split
from pileus.errors import WorkFailed
from pileus.measure.calibration import fit_temperature
from pileus.measure.classification import Classification, measure_classification
from pileus.measure.environment import describe_environment
from pileus.models.registry import build
from pileus.operations.report import write_report
from pileus.records.read import RecordSet, open_records
from pileus.runs.directory import Plan, RunDirectory
from pileus.spec.preprocessing import Drawing, Picture, Preprocessing
from pileus.spec.run import RunSpec
from pileus.training.checkpoint import Position, Tensors, best_whole, load_checkpoint, newest_whole
from pileus.training.lanes import WEIGHTS
from pileus.training.update import AVERAGE

_BATCH = 256
_CERTAIN = 0.9
_REJECTED = 0.3


class Packed(NamedTuple):
    accuracy: float | None
    """Of what is packed."""
    epoch: int
    """After so many epochs the weights that are packed were there."""
    position: Position
    """Of the last checkpoint, as is the fingerprint."""
    fingerprint: str
    phases_s: dict[str, float]
    write_report: Callable[[dict[str, float]], None]
    """Given the seconds of all phases of the run."""


def pack(directory: RunDirectory, plan: Plan, fingerprint: str) -> Packed:
    """Write the run's bundle. WorkFailed where the last checkpoint is not the agreed weights."""
    started = time.perf_counter()
    last = newest_whole(directory.store)
    if last is None or (fingerprint and last.manifest.fingerprint != fingerprint):
        raise WorkFailed("the last checkpoint is not what the workers agreed on; its files were changed.")
    checkpoint = (best_whole(directory.store) if plan.spec.checkpoints.keep_best else None) or last
    records = open_records(plan.records_uri)
    data = plan.spec.data
    validation, test = (
        load_part(records, split, validation=data.validation, size=data.size)
        for split in (Split.VALIDATION, Split.TEST)
    )
    onnx = _exported(plan.spec, records, load_checkpoint(directory.store, checkpoint.key)[1])
    exported = time.perf_counter()
    description = _described(plan, records, checkpoint.manifest.fingerprint)
    description = _calibrated(description, onnx, validation)
    probabilities_NK, measured = _measured(description, onnx, test)
    if measured is not None:
        metrics = {**description.metrics, "accuracy": measured.accuracy, "test_samples": float(len(test))}
        description = msgspec.structs.replace(description, metrics=metrics)
    manifest = write_bundle(directory.store, "bundle", onnx, description)
    phases_s = {
        "export": round(exported - started, 3),
        "test and bundle": round(time.perf_counter() - exported, 3),
    }

    return Packed(
        measured.accuracy if measured else None,
        checkpoint.manifest.position.epoch,
        last.manifest.position,
        last.manifest.fingerprint,
        phases_s,
        functools.partial(write_report, directory, plan, records, manifest, (test, probabilities_NK, measured)),
    )


def _exported(spec: RunSpec, records: RecordSet, tensors: Tensors) -> bytes:
    shape = shape_of(records, spec.data.size)
    network = build(spec.model, shape, len(records.classes), spec.seed)
    with torch.no_grad():
        for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
            if (trained := tensors.get(AVERAGE + name, tensors.get(WEIGHTS + name))) is not None:
                tensor.copy_(torch.from_numpy(np.array(trained)))
    return export_onnx(network, *shape)


def _described(plan: Plan, records: RecordSet, fingerprint: str) -> BundleDescription:
    libraries = ("pileus", "torch", "onnx", "numpy")
    return BundleDescription(
        name=plan.recipe,
        classes=records.classes,
        preprocessing=preprocessing_of(plan.spec, records),
        provenance=Provenance(
            run=plan.name,
            spec=msgspec.to_builtins(plan.spec),
            data=records.fingerprint,
            weights=fingerprint,
            versions={library: importlib.metadata.version(library) for library in libraries},
        ),
    )


def preprocessing_of(spec: RunSpec, records: RecordSet) -> Preprocessing:
    """What the records say, unless the spec says what users will send."""
    height, width, channels = shape_of(records, spec.data.size)
    told = records.preprocessing
    if spec.data.input == "drawing" and not isinstance(told, Drawing):
        part = min(height, width) / 28
        return Drawing(height=height, width=width, box=20.0 * part, stroke_width=2.2 * part)
    if told is None or spec.data.size is not None or (spec.data.input == "picture" and not isinstance(told, Picture)):
        return Picture(height=height, width=width, channels=3 if channels == 3 else 1)
    return told


def _calibrated(description: BundleDescription, onnx: bytes, validation: Part) -> BundleDescription:
    """Temperature by the validation part; 1 where there is none."""
    temperature, metrics = 1.0, {}
    if len(validation):
        probabilities_NK, measured = _measured(description, onnx, validation)
        temperature = fit_temperature(np.log(np.maximum(probabilities_NK, 1e-30)), validation.labels_N)
        assert measured is not None
        metrics = {"validation_accuracy": measured.accuracy}
    calibration = Calibration(temperature=temperature, certain=_CERTAIN, rejected=_REJECTED)
    return msgspec.structs.replace(description, calibration=calibration, metrics=metrics)


def _measured(
    description: BundleDescription, onnx: bytes, part: Part
) -> tuple[NDArray[np.float32], Classification | None]:
    """By the graph that ships, not by the network that trained."""
    unwritten = Manifest(**{f: getattr(description, f) for f in description.__struct_fields__}, files={}, version="")
    bundle = Bundle(unwritten, onnx, threads=describe_environment().cores.usable)
    probabilities_NK = np.empty((len(part), len(description.classes)), np.float32)
    for first in range(0, len(part), _BATCH):
        rows = np.arange(first, min(first + _BATCH, len(part)))
        probabilities_NK[rows] = bundle.probabilities(part.pixels.images[rows])
    if not len(part):
        return probabilities_NK, None
    return probabilities_NK, measure_classification(probabilities_NK, part.labels_N, description.classes)
