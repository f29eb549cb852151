"""A run's report.html and the result in its tensorboard/, from what the run's directory and its test hold."""

from __future__ import annotations

import shlex

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

_TOLD = {"ending", "stopping", "interrupted", "failed"}


def write_report(
    directory: RunDirectory,
    plan: Plan,
    records: RecordSet,
    manifest: Manifest,
    tested: tuple[Part, NDArray[np.float32], Classification | None],
    phases_s: dict[str, float],
) -> None:
    """`tested` is the test part, the bundle's probabilities_NK over it, and what was measured on them."""
    test, probabilities_NK, measured = tested
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
        worst=worst,
        phases_s=phases_s,
        environment=directory.environment(),
        facts={"records": plan.records_uri, "bundle": manifest.short_version, "recipe": plan.recipe},
        story=_story(directory),
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
