"""From agreed weights to what ships: calibrate on validation, look at the test part once, write the bundle."""

from __future__ import annotations

import functools
import importlib.metadata
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from pileus.bundles.export import export_onnx
from pileus.bundles.manifest import BundleDescription, Calibration, Manifest, Provenance
from pileus.bundles.predictor import Bundle, softmax
from pileus.bundles.reference import Reference, distribution_of, ink_of
from pileus.bundles.write import write_bundle
from pileus.data.batches import Part, load_part, shape_of
from pileus.data.ports import Split
from pileus.errors import WorkFailed
from pileus.machine import count_cores
from pileus.measure.calibration import LEAST_CERTAIN, fit_certain, fit_rejected, fit_temperature
from pileus.measure.classification import Classification, measure_classification
from pileus.operations.report import Tested, write_report
from pileus.records.read import RecordSet, open_records
from pileus.runs.directory import Plan, RunDirectory
from pileus.spec.preprocessing import Drawing, Picture, Preprocessing
from pileus.spec.run import RunSpec
from pileus.training.checkpoint import Position, Tensors, best_whole, load_checkpoint, newest_whole
from pileus.training.lanes import WEIGHTS
from pileus.training.network import empty_network
from pileus.training.update import AVERAGE

_BATCH = 256
_REJECTED = 0.3
"""Confidence under which an answer is none, for a model that has learned of nothing but its classes."""
_LEAST_REFERENCE, _MOST_REFERENCE = 50, 5000
"""Samples: with fewer there is no reference, and more images do not make it better."""


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


class Graph(NamedTuple):
    """What a run has come to."""

    onnx: bytes
    fingerprint: str
    """Of the weights in it."""
    spec: RunSpec
    """That made it; of a run that chose settings by itself, with these."""
    libraries: tuple[str, ...] = ("pileus", "torch", "onnx", "numpy")
    """That had a part in it."""
    accuracy_by_k: Sequence[float] = ()
    """On the validation part, of 1, 2, ... neighbours."""


class Shipped(NamedTuple):
    manifest: Manifest
    measured: Classification | None
    """On the test part; None where there is none."""
    write_report: Callable[[dict[str, float]], None]


def pack(directory: RunDirectory, plan: Plan, fingerprint: str) -> Packed:
    """Write the run's bundle. WorkFailed where the last checkpoint is not the agreed weights."""
    started = time.perf_counter()
    last = newest_whole(directory.store)
    if last is None or (fingerprint and last.manifest.fingerprint != fingerprint):
        raise WorkFailed("the last checkpoint is not what the workers agreed on; its files were changed.")
    checkpoint = (best_whole(directory.store) if plan.spec.checkpoints.keep_best else None) or last
    records = open_records(plan.records_uri)
    onnx = _exported(plan.spec, records, load_checkpoint(directory.store, checkpoint.key)[1])
    exported = time.perf_counter()
    shipped = ship(directory, plan, records, Graph(onnx, checkpoint.manifest.fingerprint, plan.spec))
    phases_s = {
        "export": round(exported - started, 3),
        "test and bundle": round(time.perf_counter() - exported, 3),
    }

    return Packed(
        shipped.measured.accuracy if shipped.measured else None,
        checkpoint.manifest.position.epoch,
        last.manifest.position,
        last.manifest.fingerprint,
        phases_s,
        shipped.write_report,
    )


def ship(directory: RunDirectory, plan: Plan, records: RecordSet, graph: Graph) -> Shipped:
    """Calibrate on the validation part, measure on the test part, write the bundle."""
    data, classes = plan.spec.data, classes_of(plan.spec, records)
    validation = load_part(records, Split.VALIDATION, validation=data.validation, size=data.size)
    test = load_part(records, Split.TEST, size=data.size, num_classes=len(classes))
    description = _calibrated(_described(plan, records, graph), graph.onnx, validation)
    probabilities_NK, measured = _measured(description, graph.onnx, test)
    if measured is not None:
        metrics = {**description.metrics, "accuracy": measured.accuracy, "test_samples": float(len(test))}
        reference = description.reference or _reference(test, np.arange(len(test)), probabilities_NK.max(axis=1))
        description = msgspec.structs.replace(description, metrics=metrics, reference=reference)
    manifest = write_bundle(directory.store, "bundle", graph.onnx, description)
    tested = Tested(test, probabilities_NK, measured, graph.accuracy_by_k)
    return Shipped(manifest, measured, functools.partial(write_report, directory, plan, records, manifest, tested))


def _exported(spec: RunSpec, records: RecordSet, tensors: Tensors) -> bytes:
    shape = shape_of(records, spec.data.size)
    network = empty_network(spec, shape, len(records.classes))
    with torch.no_grad():
        for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
            if (trained := tensors.get(AVERAGE + name, tensors.get(WEIGHTS + name))) is not None:
                tensor.copy_(torch.from_numpy(np.array(trained)))
    return export_onnx(network, *shape)


def _described(plan: Plan, records: RecordSet, graph: Graph) -> BundleDescription:
    return BundleDescription(
        name=plan.recipe,
        classes=classes_of(plan.spec, records),
        none=plan.spec.data.none,
        several=plan.spec.data.several,
        preprocessing=preprocessing_of(plan.spec, records),
        provenance=Provenance(
            run=plan.name,
            spec=msgspec.to_builtins(graph.spec),
            data=records.fingerprint,
            weights=graph.fingerprint,
            versions={library: importlib.metadata.version(library) for library in graph.libraries},
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


def classes_of(spec: RunSpec, records: RecordSet) -> tuple[str, ...]:
    """What answers can be: the classes of the records, of which those of none and of several are the last."""
    return tuple(name for name in records.classes if name not in (spec.data.none, spec.data.several))


def _calibrated(description: BundleDescription, onnx: bytes, validation: Part) -> BundleDescription:
    """By the validation part; as it comes where there is none."""
    if not len(validation):
        return msgspec.structs.replace(description, calibration=Calibration(certain=LEAST_CERTAIN, rejected=_REJECTED))
    num_classes, labels_N = len(description.classes), validation.labels_N
    bundle = _unwritten(description, onnx)
    logits_NL = _in_batches(bundle.logits, validation)
    temperature = fit_temperature(logits_NL, labels_N)
    probabilities_NK = softmax(logits_NL, temperature)[:, :num_classes]
    known_N = labels_N < num_classes
    certain = fit_certain(probabilities_NK[known_N], labels_N[known_N])
    measured = measure_classification(probabilities_NK[known_N], labels_N[known_N], description.classes)
    metrics = {"validation_accuracy": measured.accuracy, "validation_ece": measured.ece}
    rejected = _REJECTED
    if description.none is not None:
        belonging_N = bundle.belonging(probabilities_NK)
        rejected = fit_rejected(belonging_N[known_N], otherwise=_REJECTED)
        metrics["validation_false_rejects"] = float((belonging_N[known_N] < rejected).mean())
        if not known_N.all():
            metrics["validation_none_rejected"] = float((belonging_N[~known_N] < rejected).mean())
    calibration = Calibration(temperature=temperature, certain=max(certain, rejected), rejected=rejected)
    reference = _reference(validation, np.flatnonzero(known_N), probabilities_NK[known_N].max(axis=1))
    return msgspec.structs.replace(description, calibration=calibration, metrics=metrics, reference=reference)


def _reference(part: Part, rows_N: NDArray[np.int64], confidences_N: NDArray[np.floating]) -> Reference | None:
    """Of these samples of the part. `confidences_N`: of the calibrated answers to them; of their images some are looked
    at, evenly spread.
    """
    if len(rows_N) < _LEAST_REFERENCE:
        return None
    looked_N = rows_N[np.unique(np.linspace(0, len(rows_N) - 1, _MOST_REFERENCE).astype(np.int64))]
    starts = range(0, len(looked_N), _BATCH)
    inks_N = np.concatenate([ink_of(part.pixels.images[looked_N[start : start + _BATCH]]) for start in starts])
    return Reference(ink=distribution_of(inks_N), confidence=distribution_of(confidences_N))


def _measured(
    description: BundleDescription, onnx: bytes, part: Part
) -> tuple[NDArray[np.float32], Classification | None]:
    """By the graph that ships, not by the network that trained. All samples are of a class."""
    if not len(part):
        return np.empty((0, len(description.classes)), np.float32), None
    probabilities_NK = _in_batches(_unwritten(description, onnx).probabilities, part)
    return probabilities_NK, measure_classification(probabilities_NK, part.labels_N, description.classes)


def _unwritten(description: BundleDescription, onnx: bytes) -> Bundle:
    manifest = Manifest(**{f: getattr(description, f) for f in description.__struct_fields__}, files={}, version="")
    return Bundle(manifest, onnx, threads=count_cores().usable)


def _in_batches(answer: Callable[[NDArray[np.uint8]], NDArray[np.float32]], part: Part) -> NDArray[np.float32]:
    """`answer` to all images, in order."""
    starts = range(0, len(part), _BATCH)
    return np.concatenate(
        [answer(part.pixels.images[np.arange(start, min(start + _BATCH, len(part)))]) for start in starts]
    )
