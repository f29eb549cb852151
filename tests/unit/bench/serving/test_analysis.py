"""Figures over rounds, the rate that is borne, and what must be known before it is believed."""

from __future__ import annotations

from pileus.bench.serving.analysis import analyse
from pileus.bench.serving.design import Crowd, Saturation, Stream
from pileus.bench.serving.findings import caveats, failures_told, findings, told
from pileus.bench.serving.plots import all_plots
from pileus.bench.spread import Spread
from tests.unit.bench.serving.small import REQUEST, done, outcome, sent

LOW, OVER, MANY = Stream(share=0.5), Stream(share=3.0), Crowd(users=50, think_s=1.0)
DONE = [
    done(0, 0, Saturation(), outcome(sent(1000.0))),
    done(1, 0, OVER, outcome(sent(900.0, 80.0, {"429": 2000}), 3000.0)),
    done(2, 0, LOW, outcome(sent(500.0, 5.0), 500.0)),
    done(3, 1, LOW, outcome(sent(490.0, 7.0), 500.0)),
    done(4, 0, MANY, outcome(sent(50.0, 20.0), None)),
    done(5, 1, MANY, None, "it died"),
]


def test_figures_are_those_of_the_rounds_in_order_of_the_load() -> None:
    analysis = analyse(REQUEST, DONE)
    assert [each.cell.level for each in analysis.figures] == [Saturation(), MANY, LOW, OVER]
    low = analysis.figures[2]
    assert low.goodput == Spread(median=495.0, min=490.0, max=500.0, runs=2)
    assert low.p99_ms is not None and (round(low.p99_ms.min), round(low.p99_ms.max)) == (5, 7)
    assert (low.asked_per_s, low.sent, low.failed, low.batch_images) == (500.0, 990, {}, 4.0)
    over = analysis.figures[3]
    assert (over.num_failed, over.retry_after_s, failures_told(over)) == (2000, (1.0, 2.0), "429: 2,000")
    assert (analysis.trials, analysis.failed, analysis.requests) == (6, 1, 1000 + 2900 + 990 + 50)
    assert analysis.ready_s is not None and analysis.ready_s.median == 0.75


def test_what_is_borne_has_a_low_p99_and_no_failures() -> None:
    (bearing,) = analyse(REQUEST, DONE).bearings
    assert (bearing.saturation, bearing.peak, bearing.borne_per_s, bearing.overload) == (1000.0, 1000.0, 500.0, 0.9)
    slow = [DONE[0], done(2, 0, LOW, outcome(sent(500.0, 51.0), 500.0))]
    assert analyse(REQUEST, slow).bearings[0].borne_per_s is None
    failing = [DONE[0], done(2, 0, LOW, outcome(sent(500.0, 5.0, {"504": 1}), 500.0))]
    assert analyse(REQUEST, failing).bearings[0].borne_per_s is None
    told_of = " ".join(findings(analyse(REQUEST, DONE)))
    assert "500 requests a second are borne" in told_of
    assert "90 % of the peak: overload costs those who are refused alone" in told_of


def test_what_must_be_known_is_told() -> None:
    late = [*DONE, done(6, 1, OVER, outcome(sent(300.0, 80.0, {"429": 2}, late=0.5), 3000.0, wrong=3))]
    analysis = analyse(REQUEST, late)
    said = " ".join(caveats(analysis, 2))
    for part in ("1 of 7 trials failed", "In 1 of 4 cells the sender itself", "differ by more", "same 2 cores"):
        assert part in said
    assert analysis.wrong == 3 and "3 of " in " ".join(findings(analysis))


def test_pictures_are_of_what_there_is() -> None:
    plots = all_plots(analyse(REQUEST, DONE))
    assert list(plots) == ["latency-raw", "goodput", "crowds"]
    assert all(plot.startswith("<svg ") for plot in plots.values())
    assert all_plots(analyse(REQUEST, DONE[:1])) == {}


def test_nothing_measured_is_no_error() -> None:
    analysis = analyse(REQUEST, [done(0, 0, Saturation(), None, "it died")])
    assert (analysis.figures, analysis.bearings, analysis.failed) == ((), (), 1)
    assert findings(analysis) == []
    assert told(None) == ""
