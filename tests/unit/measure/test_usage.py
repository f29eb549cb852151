from __future__ import annotations

import msgspec

from pileus.measure.report import render_usage
from pileus.measure.usage import _curves, _shifts, totals, usage_figures
from pileus.spec.usage import Use
from tests.unit.runs.test_usage import watched

_TWO_GANGS = Use(
    watched=(
        watched("rank 0", 1000.0, 1001.0, 1002.0),
        watched("rank 1", 1000.5, 1001.5),
        watched("rank 2", 1001.0),
        watched("rank 0", 90_000.0, 90_004.0, attempt=2),
    )
)


def test_what_a_worker_used_is_summed_over_gangs() -> None:
    first, second = totals(_TWO_GANGS)
    assert (first.worker, first.seconds, first.cores, first.most_bytes) == ("rank 0", 6.0, 0.5, 1 << 20)
    assert (first.read_bytes, first.written_bytes) == (None, 0)
    assert (second.worker, second.seconds) == ("rank 1", 1.0)


def test_gangs_are_drawn_one_after_the_other() -> None:
    shifts = _shifts(_TWO_GANGS)
    curves = list(_curves(_TWO_GANGS.watched, shifts, lambda look: look.cpu_s))
    assert [(curve.name, curve.seconds, curve.is_again) for curve in curves] == [
        ("rank 0", [0.0, 1.0, 2.0], False),
        ("rank 1", [0.5, 1.5], False),
        ("rank 0", [12.0, 16.0], True),
    ]
    assert [curve.values for curve in curves] == [[0.5, 0.5], [0.5], [0.5]]


def test_figures_name_workers_and_hosts() -> None:
    drawn = usage_figures(_TWO_GANGS)
    assert list(drawn) == ["cpu", "memory", "network", "disk"]
    assert all(name in drawn["cpu"] for name in (">rank 0<", ">rank 1<", ">here: all<"))
    assert ">here: received<" in drawn["network"]
    assert drawn == usage_figures(_TWO_GANGS), "equal content, equal bytes"


def test_what_the_system_does_not_tell_is_said() -> None:
    untold = [
        msgspec.structs.replace(each, host_read_bytes=None, host_written_bytes=None)
        for each in _TWO_GANGS.watched[0].looks
    ]
    use = Use(watched=(msgspec.structs.replace(_TWO_GANGS.watched[0], looks=tuple(untold)),))
    assert "the system does not tell" in usage_figures(use)["disk"]
    page = render_usage("a <run>", use, {"recipe": "r&d"})
    assert page is not None
    assert "a &lt;run&gt;" in page
    assert "not told" in page


def test_nothing_is_drawn_of_who_was_seen_once() -> None:
    use = Use(watched=(watched("rank 0", 1.0),))
    assert (usage_figures(use), totals(use), render_usage("run", use, {})) == ({}, [], None)
