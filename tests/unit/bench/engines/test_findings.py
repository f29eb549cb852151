"""The sentences and the tables, from figures that are made up."""

from __future__ import annotations

import msgspec

from pileus.bench.engines.design import Request, Skipped
from pileus.bench.engines.findings import caveats, findings
from pileus.bench.engines.plots import all_plots
from pileus.bench.engines.report import StudyContent, figures_document, markdown, readme, report_page
from pileus.bench.reachable import LeftOut
from tests.unit.bench.engines.small import REQUEST, analysis, cell, done, outcome

MACHINE = {"processor": "A Processor", "cores": {"affinity": 2}}
BY_K = (0.95, 0.94, 0.97, 0.97)
SLOWER = analysis(
    [
        done(0, cell("local"), outcome(start_s=2.0, work_s=4.0)),
        done(1, cell("ray"), outcome(start_s=8.0, work_s=4.4)),
        done(2, cell("local", model="knn"), outcome(start_s=2.0, work_s=1.0, by_k=BY_K)),
        done(3, cell("spark", 2, model="knn"), None),
    ]
)


def test_what_follows_where_no_engine_gains() -> None:
    assert findings(SLOWER) == [
        "cnn on embedded:digits: done first by local with 1, in 7.0 s; ray with 1 13.4 s.",
        "cnn on embedded:digits: all 2 trials came to the same bits (abababababab), 90.00 % of the test part.",
        "knn on embedded:digits: done first by local with 1, in 4.0 s.",
        "knn on embedded:digits: of 1 to 4 neighbours 3 do best on the validation part (97.00 %).",
        "Beside local, ray begins 6.0 s later and works for 1.10 x the time (one pair of cells).",
        "What follows: for this work on this machine take local; another engine pays by cores that this machine lacks, "
        "and costs its start-up once a run.",
    ]


def test_what_follows_where_an_engine_earns_its_start_back() -> None:
    faster = analysis(
        [
            done(0, cell("local"), outcome(start_s=2.0, work_s=10.0)),
            done(1, cell("ray"), outcome(start_s=8.0, work_s=5.0)),
        ]
    )
    told = findings(faster)
    assert told[-2].endswith(
        "works for 0.50 x the time (one pair of cells): it wins where local would work for more than about 12 s."
    )
    assert told[-1].startswith("What follows: the longer the work")


def test_stores_are_told_beside_files() -> None:
    found = analysis(
        [
            done(0, cell("local"), outcome(start_s=2.0, work_s=4.0)),
            done(1, cell("local", store="s3"), outcome(start_s=4.0, work_s=6.0)),
        ]
    )
    assert any("in s3 the start-up takes 2.00 x and the work 1.50 x" in sentence for sentence in findings(found))


def test_the_table_has_a_row_a_cell_and_one_that_failed_says_why() -> None:
    lines = markdown(SLOWER).splitlines()
    assert len(lines) == 2 + 4
    assert "| embedded:digits | cnn | local | 1 | files | 7.00 | 2.00 | 4.00 | 90.00 % | 1.50 GB | 12.3 MB |" in lines
    assert lines[-1].startswith("| embedded:digits | knn | spark | 2 | files | failed: the cluster is gone |")


def test_what_must_be_known_is_told() -> None:
    other = analysis([done(0, cell("local"), outcome()), done(1, cell("ray"), outcome(fingerprint="cd" * 32))])
    other = msgspec.structs.replace(
        other,
        left_out=(LeftOut(engine="dask", reason="no dask here"),),
        skipped=tuple(Skipped(cell=cell("local", workers), reason="too many workers") for workers in (5, 6, 7, 8)),
    )
    told = " ".join(caveats(other, REQUEST, 2))
    for part in ("Left out: dask: no dask here", "and 1 more: too many workers", "2 different results", "2 cores"):
        assert part in told
    assert "share this machine" not in " ".join(caveats(other, Request(engines=("ray@head:6379",)), 2))


def test_the_record_has_all_of_it() -> None:
    content = StudyContent(request=REQUEST, specs={}, analysis=SLOWER, environment=MACHINE)
    page, text, document = report_page(content), readme(content), figures_document(content)
    assert set(all_plots(SLOWER)) == {"times", "memory", "neighbours"}
    assert page.count("<svg ") == 3
    for told in (page, text):
        assert "seven" in told and "failed: the cluster is gone" in told and "What follows" in told
    assert markdown(SLOWER) in text
    assert document["findings"] == findings(SLOWER) and len(document["figures"]) == 3
