"""Answers: on Predict and while drawing, for one digit and several, past ones, corrections, and plain words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.e2e.page.browsing import (
    ONE,
    SEVEN,
    answering,
    asked,
    by_press,
    draw,
    forget_model,
    ink,
    keep,
    needs_browser,
    opened,
    sent,
)
from tests.e2e.serving import served

pytestmark = needs_browser


def item(label: str | None, confidence: float, verdict: str, box: list[int]) -> dict[str, Any]:
    rest = (1 - confidence) / 9
    probabilities = {name: confidence if name == (label or "3") else rest for name in "0123456789"}
    return {"label": label, "confidence": confidence, "verdict": verdict, "probabilities": probabilities, "box": box}


def three(answer: dict[str, Any]) -> None:
    """As a server that tells digits apart may answer: sure, unsure, rejected."""
    answer["items"] = [
        item("4", 0.98, "certain", [100, 150, 200, 300]),
        item("0", 0.62, "unsure", [400, 150, 200, 300]),
        item(None, 0.3, "rejected", [700, 150, 200, 300]),
    ]
    answer["text"], answer["confidence"] = "40", 0.182


def test_a_drawn_seven_is_answered(page: Page) -> None:
    by_press(page)
    expect(page.locator("#predict")).to_be_disabled()
    draw(page, SEVEN)
    page.click("#predict")
    expect(page.locator("#answer")).to_have_text("7")
    expect(page.locator("#confidence")).to_contain_text("%")
    expect(page.locator("#latency")).to_contain_text("ms")
    expect(page.locator("#bars li")).to_have_count(10)
    shares = [float(text.rstrip("%")) for text in page.locator("#bars .percent").all_inner_texts()]
    assert sum(shares) == pytest.approx(100, abs=1)
    widths = page.locator("#bars .fill").evaluate_all(
        "bars => bars.map(b => b.getAnimations().map(a => a.finish()) && b.offsetWidth)"
    )
    assert max(range(10), key=lambda i: widths[i]) == 7
    expect(page.locator("#history li")).to_have_count(1)
    expect(page.locator("#model")).to_contain_text(re.compile(r"digits · [0-9a-f]{8} · 10 classes"))
    expect(page.locator("#spoken")).to_have_text(re.compile(r"^7\. (certain|unsure: perhaps \d), \d+\.\d%\.$"))


def test_an_answer_comes_while_drawing_and_predict_settles_it(page: Page) -> None:
    bodies = asked(page)
    draw(page, SEVEN)
    expect(page.locator("#answer")).to_have_text("7")
    expect(page.locator("#history li")).to_have_count(1)
    page.click("#predict")
    expect(page.locator("#predict")).to_be_enabled()
    expect(page.locator("#history li")).to_have_count(1)
    page.click("#predict")
    expect(page.locator("#history li")).to_have_count(2)
    assert len(bodies) == 3


def test_a_pause_within_a_stroke_is_answered(page: Page) -> None:
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 200, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 260, steps=5)
    expect(page.locator("#bars li")).to_have_count(10)
    page.mouse.up()


def test_an_answer_that_came_too_late_is_not_shown(page: Page) -> None:
    held: list[Route] = []
    page.route("**/v1/predict", lambda route: held.append(route) if not held else route.continue_())
    with page.expect_request("**/v1/predict"):
        draw(page, ONE)
    with page.expect_event("requestfailed") as failed:
        draw(page, [[(0.45, 0.3), (0.5, 0.15)]])
    assert "ERR_ABORTED" in (failed.value.failure or "")
    expect(page.locator("#bars li")).to_have_count(10)
    expect(page.locator("#history li")).to_have_count(1)


def test_whether_to_answer_while_drawing_is_remembered(page: Page) -> None:
    page.locator("#live").uncheck()
    page.reload()
    expect(page.locator("#live")).not_to_be_checked()
    bodies = asked(page)
    draw(page, SEVEN)
    page.click("#clear-canvas")
    draw(page, SEVEN)
    page.click("#predict")
    expect(page.locator("#history li")).to_have_count(1)
    assert len(bodies) == 1


@pytest.mark.parametrize("page", [{"device_scale_factor": 2, "color_scheme": "dark"}], indirect=True)
def test_several_digits_have_boxes_and_bars_of_their_own(page: Page) -> None:
    page.route("**/v1/predict", answering(three, **{"Server-Timing": "queue;dur=0.1, total;dur=1.75"}))
    draw(page, [[(0.2, 0.25), (0.2, 0.55)], [(0.5, 0.25), (0.5, 0.55)], [(0.8, 0.25), (0.8, 0.55)]])
    expect(page.locator("#answer")).to_have_text("40?")
    expect(page.locator("#verdict")).to_have_text("1 of 3 not a digit")
    expect(page.locator("#latency")).to_contain_text("1.8 ms of it in the server")
    expect(page.locator("#boxes .box")).to_have_count(3)
    canvas, box = page.locator("#canvas").bounding_box(), page.locator("#boxes .box").first.bounding_box()
    assert canvas is not None and box is not None
    assert (
        box["x"] < canvas["x"] + 0.1 * canvas["width"] < canvas["x"] + 0.3 * canvas["width"] < box["x"] + box["width"]
    )
    expect(page.locator("#bars .best .class")).to_have_text("4")
    page.click("#items button:nth-child(2)")
    expect(page.locator("#items button:nth-child(2)")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#bars .best .class")).to_have_text("0")
    keep(page, "several")
    draw(page, [[(0.9, 0.9), (0.95, 0.9)]], steps=1)
    expect(page.locator("#items button:nth-child(2)")).to_have_attribute("aria-pressed", "true")


def test_what_is_no_digit_is_said_in_words(page: Page) -> None:
    def reject(answer: dict[str, Any]) -> None:
        answer["items"] = [item(None, 0.2, "rejected", [0, 0, 10, 10])]
        answer["text"], answer["confidence"] = "", 0.2

    page.route("**/v1/predict", answering(reject))
    draw(page, ONE)
    expect(page.locator("#answer")).to_have_text("?")
    expect(page.locator("#verdict")).to_have_text("not a digit")
    expect(page.locator("#confidence")).to_have_text("20.0% for the likeliest")
    expect(page.locator("#boxes .box")).to_have_count(0)
    expect(page.locator("#history .detail").first).to_have_text("rejected")


def test_history_and_both_ways_to_clear(page: Page) -> None:
    for count, strokes in enumerate((SEVEN, ONE), start=1):
        draw(page, strokes)
        page.click("#predict")
        expect(page.locator("#history li")).to_have_count(count)
        expect(page.locator("#history li .label").first).to_have_text(page.locator("#answer").inner_text())
        page.click("#clear-canvas")
        assert ink(page) == 0
        expect(page.locator("#predict")).to_be_disabled()
    expect(page.locator("#history li .label").last).to_have_text("7")
    drawn = page.locator("#history canvas").evaluate_all(
        "all => all.map(c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v))"
    )
    assert drawn == [True, True]
    page.click("#clear-predictions")
    expect(page.locator("#history li")).to_have_count(0)
    expect(page.locator("#bars li")).to_have_count(0)
    expect(page.locator("#clear-predictions")).to_be_disabled()


def test_a_past_drawing_comes_back_with_its_answer(page: Page) -> None:
    draw(page, SEVEN)
    page.click("#predict")
    expect(page.locator("#history li")).to_have_count(1)
    seven = ink(page)
    page.click("#clear-canvas")
    draw(page, ONE)
    page.click("#predict")
    expect(page.locator("#history li")).to_have_count(2)
    bodies = asked(page)
    page.locator("#history button").last.click()
    assert ink(page) == seven
    expect(page.locator("#answer")).to_have_text("7")
    assert bodies == []
    page.click("#undo")
    assert 0 < ink(page) != seven


def test_history_is_bounded(page: Page) -> None:
    by_press(page)
    draw(page, ONE)
    for _ in range(50):
        with page.expect_response("**/v1/predict"):
            page.click("#predict")
    expect(page.locator("#history li")).to_have_count(48)


def test_a_correction_is_sent_once(page: Page) -> None:
    by_press(page)
    draw(page, SEVEN)
    with page.expect_response("**/v1/predict") as answered:
        page.click("#predict")
    page.select_option("#correct", "1")
    with page.expect_request("**/v1/feedback") as request:
        page.click("#feedback button")
    correction = {"request_id": answered.value.json()["request_id"], "item": 0, "label": "1"}
    assert sent(request.value) == correction
    expect(page.locator("#thanks")).to_have_text("Thank you: noted as 1.")
    expect(page.locator("#feedback")).to_be_hidden()
    page.click("#predict")
    expect(page.locator("#feedback")).to_be_visible()


def test_a_correction_is_of_the_chosen_digit(page: Page) -> None:
    page.route("**/v1/predict", answering(three))
    page.route("**/v1/feedback", lambda route: route.fulfill(status=202))
    draw(page, SEVEN)
    page.click("#items button:nth-child(3)")
    page.select_option("#correct", "8")
    with page.expect_request("**/v1/feedback") as request:
        page.click("#feedback button")
    assert (sent(request.value)["item"], sent(request.value)["label"]) == (2, "8")


@pytest.mark.parametrize(("field", "told"), [("none", "none of these"), ("several", "more than one")])
def test_a_correction_can_say_that_it_is_no_single_digit(page: Page, field: str, told: str) -> None:
    """Where the model knows of such."""
    by_press(page)
    draw(page, SEVEN)
    page.click("#predict")
    expect(page.locator("#correct option")).to_have_count(11)

    def knowing(route: Route) -> None:
        answer = route.fetch().json()
        answer["models"][0][field] = "scribbles"
        route.fulfill(json=answer)

    page.route("**/v1/models", knowing)
    page.reload()
    draw(page, SEVEN)
    page.click("#predict")
    page.route("**/v1/feedback", lambda route: route.fulfill(status=202))
    page.select_option("#correct", label=told)
    with page.expect_request("**/v1/feedback") as request:
        page.click("#feedback button")
    assert sent(request.value)["label"] == "scribbles"


def test_a_correction_that_the_server_does_not_take_is_told(page: Page) -> None:
    by_press(page)
    draw(page, SEVEN)
    page.click("#predict")
    problem = {"status": 404, "detail": "there is no such answer here any more."}
    page.route("**/v1/feedback", lambda route: route.fulfill(status=404, json=problem))
    page.select_option("#correct", "1")
    page.click("#feedback button")
    expect(page.locator("#thanks")).to_have_text("Not noted. There is no such answer here any more.")


def test_a_server_without_corrections_offers_none(browser: Browser, digits_bundle: Path) -> None:
    with served(digits_bundle) as url, opened(browser, url) as page:
        draw(page, SEVEN)
        expect(page.locator("#answer")).to_have_text("7")
        expect(page.locator("#feedback")).to_be_hidden()


@pytest.mark.parametrize(
    ("status", "words"),
    [(500, "The server failed"), (503, "not ready yet"), (429, "busy"), (422, "Draw something first")],
)
def test_a_problem_is_told_in_plain_words(page: Page, status: int, words: str) -> None:
    detail = {500: "the server failed; its log has the reason.", 422: "draw something first."}.get(status, "other")
    problem = {"title": "x", "status": status, "detail": detail}

    def refuse(route: Route) -> None:
        route.fulfill(status=status, json=problem, content_type="application/problem+json")

    forget_model(page)
    page.route("**/v1/predict", refuse)
    draw(page, SEVEN)
    page.click("#predict")
    expect(page.locator("#problem")).to_contain_text(words)
    expect(page.locator("#predict")).to_be_enabled()
    if status == 500:
        keep(page, "problem")


def test_what_is_no_answer_is_a_problem_too(page: Page) -> None:
    page.route("**/v1/predict", lambda route: route.fulfill(status=200, body="<h1>a proxy</h1>"))
    draw(page, SEVEN)
    expect(page.locator("#problem")).to_have_text("What came back is no answer.")
