"""The cells of a study, which of them cannot be run, and how it is said again."""

from __future__ import annotations

import functools
import shlex
import threading
from collections import Counter

import numpy as np
import pytest

from pileus.bench.engines.design import Request, design_of, spec_of
from pileus.bench.engines.network import total_bytes
from pileus.bench.engines.timed import Timed, clocked
from pileus.bench.portion import portion_of
from pileus.data.ports import Source
from pileus.data.sources.open import open_source
from pileus.engines.fake import FakeEngine
from pileus.errors import SpecError


@functools.cache
def sources() -> dict[str, Source]:
    return {"embedded:digits": open_source("embedded:digits")}


def test_every_combination_is_a_cell_once_in_each_round() -> None:
    design = design_of(Request(engines=("local", "fake"), workers=(2, 3, 4), rounds=2), sources())
    assert len(design.specs) == 12
    assert set(Counter(trial.cell for trial in design.trials).values()) == {2}
    assert [trial.number for trial in design.trials] == list(range(24))
    rounds = [[trial.cell for trial in design.trials if trial.round == turn] for turn in (0, 1)]
    assert rounds[0] != rounds[1] and set(rounds[0]) == set(rounds[1])


def test_what_cannot_be_run_is_skipped_with_its_reason() -> None:
    design = design_of(Request(models=("knn", "cnn", "resnet18"), engines=("local",), workers=(1, 6)), sources())
    reasons = {(each.cell.model, each.cell.workers): each.reason for each in design.skipped}
    assert set(reasons) == {("cnn", 6), ("resnet18", 1), ("resnet18", 6)}
    assert "lower --workers or microbatch_size" in reasons["cnn", 6]
    assert "at least 16 pixels" in reasons["resnet18", 1]


def test_neighbours_by_one_worker_say_nothing_of_another_engine_than_local() -> None:
    design = design_of(Request(models=("knn",), engines=("local", "fake"), workers=(1, 2)), sources())
    assert {(cell.engine, cell.workers) for cell in design.specs} == {("local", 1), ("local", 2), ("fake", 2)}
    (skipped,) = design.skipped
    assert "asks no other (got fake)" in skipped.reason


def test_settings_go_to_the_models_that_look_at_them() -> None:
    pairs = ("microbatch_size=8", "neighbours.most=5", "data.validation=0.2")
    request = Request(settings=pairs, epochs=3)
    digits = sources()["embedded:digits"]
    knn, cnn = (spec_of(model, digits, "local", 6, request) for model in ("knn", "cnn"))
    assert knn.neighbours is not None and knn.neighbours.most == 5 and knn.data.validation == 0.2
    assert (cnn.microbatch_size, cnn.epochs, cnn.data.validation, cnn.neighbours) == (8, 3, 0.2, None)


@pytest.mark.parametrize(
    ("levels", "rule"),
    [
        ({"workers": (2, 2)}, "workers must be"),
        ({"stores": ("bucket",)}, "'files' or a URI"),
        ({"engines": ("sparc",)}, "spark"),
        ({"engines": ("cluster",)}, "no engine that can be studied"),
        ({"data": ("a/mnist", "b/mnist")}, "data must be"),
    ],
)
def test_impossible_levels_are_refused(levels: dict[str, tuple[str, ...]], rule: str) -> None:
    with pytest.raises(SpecError, match=rule):
        Request(**levels)  # type: ignore[arg-type]


def test_an_unknown_model_is_told_with_the_nearest() -> None:
    with pytest.raises(SpecError, match="resnet18"):
        design_of(Request(models=("resnet-18",)), sources())


def test_the_command_says_every_level_and_the_record_no_place_of_this_machine() -> None:
    request = Request(data=("/home/me/mnist",), engines=("dask@tcp://head:8786",), images=50, settings=("seed=3",))
    words = shlex.split(request.command("OUT"))
    for part in ("/home/me/mnist", "dask@tcp://head:8786", "50", "seed=3"):
        assert part in words
    told = request.told().command("OUT")
    assert "/home/me" not in told and "head" not in told and "mnist" in told


def test_a_portion_is_spread_evenly_and_keeps_each_sample_as_it_is() -> None:
    whole = sources()["embedded:digits"]
    part = portion_of(whole, 100)
    assert len(part) == 100 and part.fingerprint != whole.fingerprint
    assert [part[place].id for place in (0, 50, 99)] == [whole[place].id for place in (0, 898, 1779)]
    assert len(np.unique([part[place].label for place in range(100)])) == 10
    assert portion_of(whole, 5000) is whole and portion_of(whole, None) is whole
    with pytest.raises(IndexError):
        part[100]


def wait(seconds: float) -> float:
    threading.Event().wait(seconds)
    return seconds


def test_the_start_of_a_map_is_told_from_its_work() -> None:
    timed = Timed(FakeEngine())
    assert list(timed.map(wait, [0.3, 0.2], workers=2)) == [0.3, 0.2]
    assert 0 < timed.map_start_s < 0.3, "a worker's second item is no start of it"
    assert clocked(abs, -3).result == 3


def test_traffic_counts_what_loops_back_once() -> None:
    class Counters:
        bytes_sent, bytes_recv = 10, 7

    assert total_bytes({"lo": Counters(), "eth0": Counters()}) == 7 + 17
