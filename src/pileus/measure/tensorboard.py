"""What TensorBoard shows of a run: event files, one of each epoch and one of the result.

TensorBoard reads the files of a folder by their names' order and never reads again what it has read; a store puts
values whole and cannot append. So each epoch is a file of its own, and a run can be watched as it trains.

The one adapter of tensorboardX, of which the messages are used and not the writer, which knows no store.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from pileus.errors import MissingExtra
from pileus.measure import figures
from pileus.measure.classification import Classification
from pileus.measure.graph import Node, Shape, nodes_of
from pileus.measure.worst import WorstError
from pileus.records.frame import crc32c, footer, header
from pileus.spec.job import EpochDone
from pileus.spec.run import RunSpec
from pileus.spec.values import leaves

FOLDER = "tensorboard/"
RESULT_KEY = f"{FOLDER}events.out.tfevents.result"
"""Its name comes after those of the epochs."""

_FORMAT = "brain.Event:2"
_GRAPH_VERSION = 22
_PNG_SIDES, _PNG_SIDES_AT = struct.Struct(">II"), 16
_RGBA = 4


class Outcome(NamedTuple):
    """What is known of a run when it is packed."""

    spec: RunSpec
    epochs: Sequence[EpochDone]
    """Not empty."""
    test: Classification | None
    worst: Sequence[WorstError]
    phases_s: Mapping[str, float]
    """Seconds of the whole run by phase."""
    onnx: bytes


def epoch_key(epoch: int) -> str:
    """Where the events of an epoch, counted from 0, lie in a run."""
    return f"{FOLDER}events.out.tfevents.{epoch:06d}"


def epoch_events(done: EpochDone, before: EpochDone | None, time_s: float) -> bytes:
    """The file of an epoch, whose step is the global step; `before` is the epoch before it, `time_s` is since 1970.

    MissingExtra without tensorboardX.
    """
    new_samples = done.samples - (before.samples if before else 0)
    scalars: dict[str, float | None] = {
        "loss/train": done.train_loss,
        "loss/validation": done.validation_loss,
        "accuracy/train": done.train_accuracy,
        "accuracy/validation": done.validation_accuracy,
        "lr": done.lr,
        "epoch": done.epoch + 1,
        "speed/samples_per_s": new_samples / done.seconds if done.seconds > 0 else None,
        **{f"epoch_s/{phase}": seconds for phase, seconds in done.phases_s.items()},
    }
    return _Messages().file(time_s, done.step, scalars=scalars)


def result_events(outcome: Outcome, time_s: float) -> bytes:
    """The file of the result: the test, pictures, the network, and the settings with what came of them.

    MissingExtra without tensorboardX or matplotlib.
    """
    test, last = outcome.test, outcome.epochs[-1]
    scalars: dict[str, float | None] = {f"run_s/{phase}": seconds for phase, seconds in outcome.phases_s.items()}
    pictures = {}
    if test:
        scalars |= {"accuracy/test": test.accuracy, "loss/test": test.log_loss, "calibration_error/test": test.ece}
        pictures["test/confusion"] = figures.confusion_picture(test)
    if outcome.worst:
        pictures["test/worst_errors"] = figures.worst_picture(outcome.worst)
    shown = ["accuracy/test", "loss/test", "run_s/training"]
    shown = [name for name in shown if name in scalars] + ["loss/train", "accuracy/train"]
    if last.validation_accuracy is not None:
        shown.append("accuracy/validation")
    messages = _Messages()
    return messages.file(
        time_s,
        last.step,
        scalars=scalars,
        pictures=pictures,
        graph=messages.graph(nodes_of(outcome.onnx)),
        settings=(_settings(outcome.spec), shown),
    )


def _settings(spec: RunSpec) -> dict[str, str | float | bool]:
    """Each setting as a number, a switch or text; one that is None has none."""
    found = leaves(msgspec.to_builtins(spec))
    return {
        name: value if isinstance(value, str | float | int) else str(value)
        for name, value in found.items()
        if value is not None
    }


class _Messages:
    """TensorBoard's protocol buffers; loaded when the first is made."""

    def __init__(self) -> None:
        try:
            from tensorboardX import summary  # noqa: PLC0415 - loads torch; this is its one adapter
            from tensorboardX.proto import event_pb2, graph_pb2  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise MissingExtra("tensorboard/ of a run", "tensorboardX", "train") from error
        self._summary: Any = summary
        self._event: Any = event_pb2
        self._graph: Any = graph_pb2

    def file(
        self,
        time_s: float,
        step: int,
        *,
        scalars: Mapping[str, float | None],
        pictures: Mapping[str, bytes] | None = None,
        graph: bytes | None = None,
        settings: tuple[Mapping[str, str | float | bool], Sequence[str]] | None = None,
    ) -> bytes:
        """A whole file. `settings`: by name, and the names of the scalars that tell what came of them."""
        events: list[dict[str, Any]] = [{"file_version": _FORMAT}]
        if settings:
            named, shown = settings
            events += [{"summary": each} for each in self._summary.hparams(named, dict.fromkeys(shown))]
        if graph is not None:
            events.append({"graph_def": graph})
        summary = self._summary.Summary
        values = [
            summary.Value(tag=name, simple_value=value)
            for name, value in scalars.items()
            if value is not None and math.isfinite(value)
        ]
        values += [summary.Value(tag=name, image=self._picture(png)) for name, png in (pictures or {}).items()]
        events.append({"step": step, "summary": summary(value=values)})
        made = (self._event.Event(wall_time=time_s, **event) for event in events)
        return b"".join(_framed(event.SerializeToString(deterministic=True)) for event in made)

    def graph(self, nodes: Iterable[Node]) -> bytes:
        """A GraphDef of TensorFlow."""
        graph = self._graph.GraphDef()
        graph.versions.producer = _GRAPH_VERSION
        for node in nodes:
            made = graph.node.add(name=node.name, op=node.op, input=node.inputs)
            for name, text in node.attributes.items():
                made.attr[name].s = text.encode()
            if node.shape is not None:
                _fill(made.attr["_output_shapes"].list.shape.add(), node.shape)
        return bytes(graph.SerializeToString(deterministic=True))

    def _picture(self, png: bytes) -> Any:
        width, height = _PNG_SIDES.unpack_from(png, _PNG_SIDES_AT)
        return self._summary.Summary.Image(height=height, width=width, colorspace=_RGBA, encoded_image_string=png)


def _fill(shape: Any, sides: Shape) -> None:
    for side in sides:
        shape.dim.add(size=-1 if side is None else side)


def _framed(data: bytes) -> bytes:
    """Event files are TFRecord files."""
    return header(len(data)) + data + footer(crc32c(data))
