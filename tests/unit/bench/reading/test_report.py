"""What the figures of a study say: costs that are known come back, in the sentences and in the page."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import msgspec
import pytest

from pileus.bench.reading.analysis import Analysis, Measured, analyse
from pileus.bench.reading.ceilings import Ceilings, DecodeCeiling, HandoverCeiling, StoreCeiling
from pileus.bench.reading.design import Factors, places_of
from pileus.bench.reading.findings import best_cost, caveats, findings
from pileus.bench.reading.regression import Fit
from pileus.bench.reading.report import StudyContent, figures_document, readme, report_page
from pileus.bench.reading.request import Request, command_of
from pileus.bench.reading.results import Done
from pileus.spec.values import canonical_json
from tests.unit.bench.reading.small import FACTORS, finished


def ceilings_of(factors: Factors) -> Ceilings:
    return Ceilings(
        stores=tuple(
            StoreCeiling(
                format=form,
                pixels=pixels,
                store=place.name,
                cache=cache,
                readers=readers,
                images_per_s=1e5,
                bytes_per_s=1e9,
            )
            for form in factors.format
            for pixels in factors.pixels
            for place in factors.store
            for cache in factors.cache
            for readers in factors.readers
        ),
        decoders=tuple(DecodeCeiling(pixels=0, readers=readers, images_per_s=2e3) for readers in factors.readers),
        handovers=tuple(
            HandoverCeiling(pixels=0, batch_size=size, readers=readers, images_per_s=1e6)
            for size in factors.batch_size
            for readers in factors.readers
        ),
    )


def analysed(done: list[Done], factors: Factors = FACTORS) -> Analysis:
    return analyse(factors, done, ceilings_of(factors))


def content(done: list[Done], factors: Factors = FACTORS, source: str = "photos") -> StudyContent:
    return StudyContent(
        request=Request(source=source, factors=factors),
        analysis=analysed(done, factors),
        measured=[Measured(each.trial.cell, each.outcome) for each in done if each.outcome],
        failed=[each for each in done if each.outcome is None],
        read_size=(224, 224),
        environment={"processor": "a processor", "cores": {"affinity": 2}},
    )


class Page(HTMLParser):
    """Its text, and tags that were opened and not closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in ("meta", "br", "img", "link", "path", "use", "rect"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        self.text += data + " "


def test_costs_that_are_known_come_back() -> None:
    analysis = analysed(finished())
    best = best_cost(analysis)
    assert best is not None and isinstance(best.fit, Fit)
    assert best.group.format == "shards"
    assert best.fit.of("per image").value == pytest.approx(0.0005, rel=0.15)
    assert best.fit.of("per batch").value == pytest.approx(0.002, rel=0.15)
    assert [(each.store, each.cache) for each in analysis.advantages] == [("local", "cold"), ("local", "warm")]
    assert all(1.2 < each.ratio.low < each.ratio.value < 1.8 for each in analysis.advantages)
    assert (
        analysis.images
        == sum(2 * trial.cell.batch_size * trial.cell.batches for trial, *_ in [(d.trial,) for d in finished()]) // 2
    )


def test_the_three_sentences() -> None:
    cost, formats, roof = findings(analysed(finished()))
    assert "At best (shards, as they come, local, " in cost and " ms (95 % CI " in cost
    assert "local, cold: 1." in formats and "local, warm: 1." in formats
    assert formats.startswith("Speed of shards over that of files: ")
    assert "decoding by 1 reader allows alone; of 16 cells decode bounds 16." in roof
    assert caveats(analysed(finished())) == []


def test_shards_first_does_not_turn_the_advantage_round() -> None:
    turned = Factors(format=("shards", "files"), batch_size=(2, 4), batches=(1, 3), readers=(1,), repetitions=2)
    assert all(each.ratio.value > 1.2 for each in analysed(finished(turned), turned).advantages)


def test_what_must_be_known_is_said() -> None:
    done = finished()
    done[0] = Done(trial=done[0].trial, outcome=None, error="it broke")
    for place in (1, 2, 3, 4, 5, 6):
        outcome = done[place].outcome
        assert outcome is not None
        resident = None if place > 4 else 0.5
        changed = msgspec.structs.replace(outcome, resident=resident, images=outcome.images - (place == 6))
        done[place] = Done(trial=done[place].trial, outcome=changed)
    said = " ".join(caveats(analysed(done)))
    assert "1 of 32 trials failed" in said
    assert "cold trials began with files in memory" in said or "warm trials began with files not in memory" in said
    assert "Of 2 trials it cannot be told" in said
    assert "In 1 trials fewer images came" in said


def test_a_design_that_cannot_tell_batches_from_images_says_so() -> None:
    factors = Factors(batch_size=(4,), batches=(1, 3), readers=(1,))
    analysis = analysed(finished(factors), factors)
    assert "needs two sizes of batch and two numbers of batches (got 1 and 2)" in " ".join(caveats(analysis))
    assert best_cost(analysis) is None
    assert len(findings(analysis)) == 2


def test_the_page_is_whole_and_escapes_what_it_is_given() -> None:
    done = finished()
    done[3] = Done(trial=done[3].trial, outcome=None, error="<script>alert(1)</script>")
    page = report_page(content(done, source="<b>photos</b>"))
    read = Page(page)
    assert read.open == []
    assert "<script>" not in page and "<b>photos" not in page
    for part in ("What reading costs", "Speed on each parameter", "Roofline", "alert(1)", "pileus bench reading"):
        assert part in read.text
    assert page.count('role="img"') == 6
    assert "is no remote store" not in page
    assert report_page(content(done, source="<b>photos</b>")) == page


def test_injected_latency_is_told_as_what_it_is() -> None:
    factors = Factors(
        batch_size=(2, 4), batches=(1, 3), readers=(1,), store=places_of((0.0, 20.0), remote=False), repetitions=2
    )
    assert "local+20ms is no remote store" in report_page(content(finished(factors), factors))


def test_a_study_of_which_nothing_is_left_still_has_a_page() -> None:
    done = [Done(trial=each.trial, outcome=None, error="it broke") for each in finished()]
    told = content(done)
    assert "No trial told anything" in report_page(told)
    assert "32 of 32 trials failed" in readme(told)


def test_figures_are_json_without_residuals() -> None:
    document = json.loads(canonical_json(figures_document(analysed(finished()))))
    assert len(document["findings"]) == 3
    assert "residuals" not in json.dumps(document)
    assert {cost["fit"]["fit"] for cost in document["costs"]} == {"least squares"}


def test_a_record_names_no_path_of_this_machine() -> None:
    request = Request(source="/home/someone/photos", factors=FACTORS)
    assert request.told().source == "DATA/photos"
    assert "--batch-size 2 4 --batches 1 3" in command_of(request.told(), "OUT")
    asked = Request(source="embedded:digits", factors=FACTORS, remote="s3://bucket/bench")
    assert asked.told() == asked
    assert Request(source="photos", factors=FACTORS, remote="file:/mnt/far").told().remote == "DATA/far"
