"""Contenders are compared within a round, against the first one-worker contender of their model."""

from __future__ import annotations

import msgspec
import pytest

from pileus.bench.spread import Spread
from pileus.bench.training.analysis import analyse, needed_bytes
from pileus.bench.training.design import design_of
from pileus.bench.training.findings import bytes_told, caveats, findings
from pileus.spec.resolve import resolve
from pileus.spec.run import RunSpec
from tests.unit.bench.training.small import EXACT, FAST, REQUEST, contender, done, outcome

DESIGN = design_of(REQUEST)
BASE, TWO, QUICK = contender("single", 1), contender(EXACT, 2), contender(FAST, 2)
DONE = [
    done(0, 0, BASE, outcome(100.0)),
    done(1, 0, TWO, outcome(190.0, 50_000)),
    done(2, 0, QUICK, outcome(200.0, None)),
    done(3, 1, BASE, outcome(50.0)),
    done(4, 1, TWO, outcome(80.0, 70_000)),
    done(5, 1, QUICK, None, "it died"),
]


def test_speed_is_told_against_the_base_of_the_same_round() -> None:
    found = {each.contender: each for each in analyse(DESIGN.specs, DONE, DESIGN.skipped).figures}
    assert list(found) == [BASE, TWO, QUICK]
    assert found[TWO].base == BASE
    assert found[TWO].speedup == Spread(median=1.75, min=1.6, max=1.9, runs=2)
    assert found[TWO].samples_per_s == Spread(median=135.0, min=80.0, max=190.0, runs=2)
    assert found[QUICK].speedup == Spread(median=2.0, min=2.0, max=2.0, runs=1)


def test_phases_and_bytes_are_those_of_a_step() -> None:
    found = {each.contender: each for each in analyse(DESIGN.specs, DONE, ()).figures}[TWO]
    assert found.step_ms == 100.0
    assert found.phases_ms == pytest.approx({"compute": 60.0, "exchange": 30.0, "checkpoint": 0.0, "other": 10.0})
    assert found.network_bytes == 120_000 / 20 / 2
    assert found.needed_bytes == 4000.0
    assert {each.contender: each for each in analyse(DESIGN.specs, DONE, ()).figures}[QUICK].network_bytes is None


def spec_of(strategy: dict[str, object], workers: int) -> RunSpec:
    return resolve({"model": "lenet5", "data": {"source": "x"}, "strategy": strategy, "workers": workers})


@pytest.mark.parametrize(
    ("strategy", "workers", "size_bytes"),
    [
        ({"name": "single"}, 1, 0.0),
        ({"name": "all_reduce"}, 1, 0.0),
        ({"name": "all_reduce", "mode": "fast"}, 4, 6000.0),
        ({"name": "parameter_server"}, 1, 8000.0),
        ({"name": "local_sgd", "steps": 8}, 2, 500.0),
        ({"name": "local_sgd", "steps": None}, 2, 0.0),
    ],
)
def test_needed_bytes_are_those_of_the_protocols(strategy: dict[str, object], workers: int, size_bytes: float) -> None:
    assert needed_bytes(spec_of(strategy, workers), 1000) == size_bytes


def test_what_exactness_costs_is_told_of_the_rounds_that_both_have() -> None:
    analysis = analyse(DESIGN.specs, DONE, DESIGN.skipped)
    (exactness,) = analysis.exactness
    assert (exactness.workers, exactness.ratio) == (2, Spread(median=0.95, min=0.95, max=0.95, runs=1))
    told = " ".join(findings(analysis))
    assert "Fastest of digits_cnn: digits_cnn, all_reduce:fast, 2 workers, 200" in told
    assert "digits_cnn, all_reduce:exact, 2 workers: 1.75 (1.60 to 1.90) x as fast as single" in told
    assert "Exact all-reduce is 0.95" in told


def test_what_must_be_known_is_told() -> None:
    analysis = analyse(DESIGN.specs, DONE, design_of(msgspec.structs.replace(REQUEST, engine="fake")).skipped)
    told = " ".join(caveats(analysis, REQUEST, cores=1))
    for part in (
        "1 of 6 trials failed",
        "Not run: digits_cnn, all_reduce:fast",
        "2 workers share 1 cores",
        "differ by",
    ):
        assert part in told
    assert "loopback" not in told
    stray = [done(0, 0, BASE, outcome(100.0, 90_000))]
    assert "loopback" in " ".join(caveats(analyse(DESIGN.specs, stray, ()), REQUEST, cores=2))


def test_nothing_measured_is_no_error() -> None:
    analysis = analyse(DESIGN.specs, [done(0, 0, BASE, None, "it died")], ())
    assert (analysis.figures, analysis.exactness, analysis.failed) == ((), (), 1)
    assert findings(analysis) == []


def test_bytes_in_words() -> None:
    assert [bytes_told(size) for size in (None, 1500.0, 2_340_000.0)] == ["", "1.5 kB", "2.34 MB"]
