"""A run's report.html and the result in its tensorboard/, from what the run's directory and its test hold."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pileus.bundles.load import read_verified
from pileus.bundles.manifest import MODEL_FILE, Manifest
from pileus.data.batches import Part
from pileus.measure.classification import Classification
from pileus.measure.report import ReportContent, render_report
from pileus.measure.tensorboard import Outcome
from pileus.measure.worst import worst_errors
from pileus.operations.charts import chart_result
from pileus.records.read import RecordSet
from pileus.runs.directory import Plan, RunDirectory
from pileus.runs.usage import read_usage

_TOLD = {"ending", "stopping", "interrupted", "failed"}


class Tested(NamedTuple):
    """The test part, the bundle's probabilities over it, and what was measured on them."""

    test: Part
    probabilities_NK: NDArray[np.float32]
    measured: Classification | None
    accuracy_by_k: Sequence[float] = ()
    """On the validation part, of a model of neighbours."""


def write_report(
    directory: RunDirectory,
    plan: Plan,
    records: RecordSet,
    manifest: Manifest,
    tested: Tested,
    phases_s: dict[str, float],
) -> None:
    test, probabilities_NK, measured, accuracy_by_k = tested
    run = shlex.quote(directory.place)
    worst = (
        worst_errors(
            test.pixels.images,
            probabilities_NK,
            test.labels_N,
            [records.id(int(position)) for position in test.positions_N],
            records.classes,
        )
        if measured
        else []
    )
    epochs = directory.epochs()
    content = ReportContent(
        run_name=plan.name,
        spec=plan.spec,
        epochs=epochs,
        test=measured,
        accuracy_by_k=accuracy_by_k,
        worst=worst,
        phases_s=phases_s,
        environment=directory.environment(),
        facts={"records": plan.records_uri, "bundle": manifest.short_version, "recipe": plan.recipe},
        story=_story(directory),
        use=read_usage(directory.store),
        next_steps=[f"pileus serve {run}", f"pileus evaluate {run} --data SOURCE", f"pileus runs verify {run}"],
    )
    directory.store.put("report.html", render_report(content).encode())
    if epochs:
        onnx = read_verified(directory.store)[1][MODEL_FILE]
        chart_result(directory, Outcome(plan.spec, epochs, measured, worst, phases_s, onnx))


def _story(directory: RunDirectory) -> list[str]:
    """Losses, stops and new gangs; an ordinary run has none."""
    told = []
    for event in directory.events():
        reason = event.data.get("reason")
        if event.kind in _TOLD and event.data.get("then") != "pack":
            told.append(f"{event.time[:19]} {event.kind}: {reason}")
        elif event.kind == "launch" and event.data["attempt"] > 1:
            told.append(
                f"{event.time[:19]} gang {event.data['attempt']}: {event.data['workers']} workers on "
                f"{event.data['engine']}, from {event.data['checkpoint'] or 'the beginning'}"
            )
    return told
