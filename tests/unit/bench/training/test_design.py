"""Every contender once in every round; what cannot be run is left out with its reason, what cannot be is refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from pileus.bench.training.design import Request, design_of, strategies_by_name, usual_model
from pileus.data.sources.open import open_source
from pileus.errors import SpecError
from pileus.spec.run import AllReduce
from tests.unit.bench.training.small import EXACT, FAST, REQUEST, contender


def changed(**changes: object) -> Request:
    return msgspec.convert(msgspec.to_builtins(REQUEST) | changes, Request)


def test_names_are_those_of_the_specs_strategies() -> None:
    known = strategies_by_name()
    assert known[FAST] == {"name": "all_reduce", "mode": "fast"}
    assert known["single"] == {"name": "single"}
    assert {"parameter_server:sync", "parameter_server:stale", "parameter_server:async", "local_sgd"} <= set(known)


def test_each_contender_is_tried_once_in_each_round() -> None:
    design = design_of(REQUEST)
    wanted = [contender("single", 1), *(contender(name, workers) for name in (EXACT, FAST) for workers in (1, 2))]
    assert list(design.specs) == wanted
    assert [trial.number for trial in design.trials] == list(range(15))
    orders = [[trial.contender for trial in design.trials if trial.round == turn] for turn in range(3)]
    assert all(sorted(order, key=str) == sorted(wanted, key=str) for order in orders)
    assert len({str(order) for order in orders}) > 1


def test_a_spec_is_the_recipes_but_for_what_a_study_needs() -> None:
    spec = design_of(changed(settings=["batch_size=32", "optimizer.lr=0.5"])).specs[contender(FAST, 2)]
    assert (spec.model, spec.batch_size, spec.microbatch_size, spec.workers) == ("digits_cnn", 32, 16, 2)
    assert spec.strategy == AllReduce(mode="fast")
    assert (spec.engine.max_restarts, spec.optimizer.lr) == (0, 0.5)
    assert design_of(REQUEST).specs[contender(FAST, 2)].optimizer.lr == 1e-4


def test_what_an_engine_cannot_run_is_left_out_with_the_reason() -> None:
    design = design_of(changed(engine="fake", workers=[2, 64]))
    assert set(design.specs) == {contender("single", 1), contender(EXACT, 2)}
    reasons = {each.contender: each.reason for each in design.skipped}
    assert "engine 'fake' cannot run strategy 'all_reduce (fast)'" in reasons[contender(FAST, 2)]
    assert "workers must be in [1, microbatches]" in reasons[contender(EXACT, 64)]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"models": ["digits_cn"]}, "did you mean 'digits_cnn'"),
        ({"models": ["a/x.toml", "b/x.toml"]}, "each once"),
        ({"strategies": ["fast"]}, "no strategy is called 'fast'"),
        ({"workers": []}, "got none"),
        ({"engine": "locl"}, "did you mean 'local'"),
        ({"settings": ["batch_sise=3"]}, "batch_size"),
        ({"rounds": 1000}, "at most 2,000 trials"),
        ({"strategies": [FAST], "engine": "fake"}, "nothing that was asked for can be run"),
    ],
)
def test_impossible_requests_are_told(changes: dict[str, object], told: str) -> None:
    with pytest.raises((SpecError, msgspec.ValidationError), match=told.replace("[", r"\[")):
        design_of(changed(**changes))


def test_a_record_tells_no_paths_and_how_to_run_it_again(tmp_path: Path) -> None:
    request = changed(source=str(tmp_path / "photos"), models=[str(tmp_path / "x.toml")], settings=["epochs=2"])
    assert str(tmp_path) not in msgspec.json.encode(request.told()).decode()
    assert "pileus bench training DATA/photos --out OUT --model x.toml" in request.told().command("OUT")
    assert request.command("OUT").endswith("--set epochs=2")


def test_the_usual_model_suits_the_pictures() -> None:
    assert usual_model(open_source("embedded:digits")) == "digits_cnn"
    assert usual_model(open_source("embedded:strokes")) == "mnist_cnn"
