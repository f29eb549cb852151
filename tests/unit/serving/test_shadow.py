"""The shadow of one front, by coordinates: its predictor answers, dies and falls silent when the test says so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

import msgspec
import pytest

from pileus.bundles import Manifest
from pileus.bundles.disagreements import Disagreements, Outcome
from pileus.bundles.manifest import StoredFile, make_manifest
from pileus.serving import shadow as shadow_module
from pileus.serving.frames import Kind, Question
from pileus.serving.instruments import Instruments, no_readings
from pileus.serving.shadow import Asked, Shadow, compared
from pileus.store import open_store
from tests.unit.bundles.nets import describe
from tests.unit.serving.test_crew import Scripted

_numbers = count()


def manifest_of(number: int) -> Manifest:
    return make_manifest(describe(), {"model.onnx": StoredFile(sha256=str(number), size_bytes=number)})


PRODUCTION, OTHER = manifest_of(1), manifest_of(2)


def told(*items: tuple[str | None, str]) -> bytes:
    """A prediction from its `text` on."""
    document = {"text": "", "items": [{"label": label, "verdict": verdict, "box": [0]} for label, verdict in items]}
    return msgspec.json.encode(document)[1:]


SEVEN, ONE, UNSURE = told(("7", "certain")), told(("1", "certain")), told(("7", "unsure"))


@pytest.mark.parametrize(
    ("shadow", "outcome"),
    [
        (SEVEN, "agreed"),
        (ONE, "label"),
        (UNSURE, "verdict"),
        (told((None, "rejected")), "label"),
        (told(("7", "certain"), ("1", "certain")), "items"),
        (told(), "items"),
    ],
)
def test_answers_are_compared_item_by_item(shadow: bytes, outcome: Outcome) -> None:
    assert compared(SEVEN, shadow) == outcome


class Stage:
    """A shadow of scripted predictors."""

    num_links = 1
    onnx = b""
    manifest = OTHER

    def __init__(self, share: float = 1.0) -> None:
        self.links: list[Scripted] = []
        self.store = open_store(f"memory:shadow-{next(_numbers)}")
        self.instruments = Instruments(no_readings())
        self.shadow = Shadow(self, PRODUCTION, self.store.uri, share, self.instruments)

    def make_link(self) -> Scripted:
        self.links.append(Scripted())
        return self.links[-1]

    async def begin(self) -> Scripted:
        self.shadow.start()
        await asyncio.sleep(0)
        self.links[-1].warm()
        return self.links[-1]

    def ask(self, shadow_tells: bytes, number: int = 0) -> None:
        question = Question(Kind.RAW, shadow_tells)
        self.shadow.note(Asked(b"%d" % number, "image/png", False, b"input %d" % number, question, SEVEN))

    def counts(self) -> dict[str, int]:
        found = Disagreements(self.store, PRODUCTION.version, OTHER.version).pair().counts
        return {name: num for name, num in found.by_outcome.items() if num} if found else {}


def staged(play: Callable[[Stage], Awaitable[Any]], share: float = 1.0) -> Stage:
    async def run() -> Stage:
        stage = Stage(share)
        await play(stage)
        await stage.shadow.stop()
        return stage

    return asyncio.run(run())


def test_what_differs_is_counted_and_kept() -> None:
    async def play(stage: Stage) -> None:
        link = await stage.begin()
        for number, answer in enumerate((SEVEN, ONE, UNSURE, told())):
            stage.ask(answer, number)
            link.answer()

    stage = staged(play)
    assert stage.counts() == {"agreed": 1, "label": 1, "verdict": 1, "items": 1}
    cases = Disagreements(stage.store, PRODUCTION.version, OTHER.version).cases()
    assert {case.outcome: (case.request_id, case.input) for case in cases} == {
        "label": ("1", b"input 1"), "verdict": ("2", b"input 2"), "items": ("3", b"input 3"),
    }  # fmt: skip
    label = next(case for case in cases if case.outcome == "label")
    assert (label.production["items"][0]["label"], label.shadow["items"][0]["label"]) == ("7", "1")
    assert b'pileus_shadow_total{outcome="label"} 1' in stage.instruments.told(PRODUCTION)


def test_what_finds_no_room_is_dropped_and_batches_are_small() -> None:
    async def play(stage: Stage) -> None:
        for number in range(100):
            stage.ask(SEVEN, number)
        link = await stage.begin()
        while len(link.sent) < 8 or stage.shadow._batch:
            link.answer()
        assert [len(batch.questions) for batch in link.sent] == [8] * 8

    assert staged(play).counts() == {"agreed": 64, "dropped": 36}


def test_great_inputs_are_bounded_together() -> None:
    async def play(stage: Stage) -> None:
        question = Question(Kind.RAW, SEVEN)
        for _ in range(10):
            stage.shadow.note(Asked(b"1", "image/png", False, bytes(4 << 20), question, SEVEN))

    assert staged(play).counts() == {"dropped": 7}


def test_one_that_dies_is_started_again_and_at_last_left_alone() -> None:
    async def play(stage: Stage) -> None:
        for _ in range(4):
            assert stage.shadow.wants(PRODUCTION)
            link = await stage.begin() if not stage.links else stage.links[-1]
            await asyncio.sleep(0)
            link.warm()
            stage.ask(SEVEN)
            link.die()
        assert len(stage.links) == 4 and not stage.shadow.wants(PRODUCTION)

    assert staged(play).counts() == {"failed": 4}


def test_one_that_is_silent_is_killed_and_one_that_waits_is_not() -> None:
    async def play(stage: Stage) -> None:
        link = await stage.begin()
        stage.shadow.tick(time.monotonic() + 1000)
        assert not link.killed
        stage.ask(SEVEN)
        stage.shadow.tick(time.monotonic() + 20)
        assert not link.killed
        stage.shadow.tick(time.monotonic() + 31)
        assert link.killed

    staged(play)


def test_it_wants_a_part_of_what_its_production_answers() -> None:
    async def play(stage: Stage) -> None:
        wanted = sum(stage.shadow.wants(PRODUCTION) for _ in range(2000))
        assert 400 < wanted < 600
        assert not any(stage.shadow.wants(OTHER) for _ in range(100))

    staged(play, share=0.25)


def test_a_store_that_fails_costs_nothing_but_a_line(caplog: pytest.LogCaptureFixture) -> None:
    async def play(stage: Stage) -> None:
        stage.store.put(f"shadow/{PRODUCTION.short_version}-{OTHER.short_version}/counts.json", b"{")
        link = await stage.begin()
        stage.ask(SEVEN)
        link.answer()
        stage.shadow.tick(time.monotonic() + shadow_module._COUNT_S + 1)

    staged(play)
    assert "could not be kept" in caplog.text and "Traceback" not in caplog.text
