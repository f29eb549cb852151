"""A trial counts whole epochs past the first, of a real run, until they are seconds enough."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from pileus.bench.process import run_process
from pileus.bench.training.design import design_of
from pileus.bench.training.network import loopback_bytes
from pileus.bench.training.trial import Outcome, Task
from pileus.data.sources.open import open_source
from pileus.operations.write import write_source
from tests.unit.bench.training.small import EXACT, REQUEST, contender

TRAIN_SAMPLES = 1253
"""Of the embedded digits."""
TWO = contender(EXACT, 2)
SPEC = design_of(msgspec.structs.replace(REQUEST, engine="fake")).specs[TWO]


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    folder = tmp_path_factory.mktemp("trial")
    records = write_source(open_source("embedded:digits"), str(folder / "records"))
    (folder / "runs").mkdir()
    return Task(spec=SPEC, records_uri=records.uri, folder=str(folder / "runs"), seconds=0.2, cores=1)


def test_whole_epochs_are_counted(task: Task) -> None:
    found = run_process("pileus.bench.training.trial", task, Outcome, 100.0)
    assert isinstance(found, Outcome), found
    assert found.seconds >= 0.2
    assert found.samples == found.epochs * TRAIN_SAMPLES
    assert found.steps == found.epochs * 20
    assert found.parameters == 43_050
    assert {"compute", "exchange", "optimizer", "data", "checkpoint"} <= set(found.phases_s)
    assert 0 < sum(found.phases_s.values()) <= found.seconds * 1.05
    assert found.network_bytes is None, "workers that are threads send nothing over a network"
    assert list(Path(task.folder).iterdir()) == []


def test_a_run_that_fails_says_why(task: Task) -> None:
    strange = msgspec.structs.replace(task, spec=msgspec.structs.replace(task.spec, model="vgg19"))
    told = run_process("pileus.bench.training.trial", strange, Outcome, 100.0)
    assert isinstance(told, str) and "vgg19 takes images of at least 32 pixels" in told


def test_bytes_of_the_loopback_interface(tmp_path: Path) -> None:
    (tmp_path / "proc/net").mkdir(parents=True)
    table = tmp_path / "proc/net/dev"
    table.write_text("Inter-| Receive | Transmit\n face |bytes packets\n  eth0: 5 1\n    lo: 1234 7 0 1234 7\n")
    assert loopback_bytes(tmp_path) == 1234
    table.write_text("Inter-| Receive\n")
    assert loopback_bytes(tmp_path) is None
    assert loopback_bytes(tmp_path / "nowhere") is None
