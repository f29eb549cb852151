"""The page in a real browser: drawn on, asked, cleared, at several sizes, with a server that fails."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from tests.e2e.serving import served

CHROMIUM = Path("/usr/bin/chromium")
ARTEFACTS = Path(__file__).parents[2] / "artefacts"
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SEVEN = [[(0.25, 0.2), (0.75, 0.2), (0.45, 0.85)]]
ONE = [[(0.5, 0.15), (0.5, 0.85)]]

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(
        not CHROMIUM.exists() and not os.environ.get("CI"), reason=f"no browser at {CHROMIUM}; run `make services`"
    ),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, server: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """At the server's address; an indirect parameter gives options of the browser's context."""
    context = browser.new_context(**getattr(request, "param", {}))
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.goto(server)
    expect(page.locator("#status")).to_have_text("ready")
    yield page
    context.close()
    assert [fault for fault in faults if "status of" not in fault and "ERR_" not in fault] == []


def draw(page: Page, strokes: list[list[tuple[float, float]]]) -> None:
    page.locator("#canvas").scroll_into_view_if_needed()
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    for stroke in strokes:
        points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point, steps=12)
        page.mouse.up()


def ink(page: Page) -> int:
    """Pixels of the canvas that are drawn on."""
    count = page.locator("#canvas").evaluate(
        "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.filter((v, i) => i % 4 === 3 && v).length"
    )
    return int(count)


def keep(page: Page, name: str) -> None:
    ARTEFACTS.mkdir(exist_ok=True)
    (ARTEFACTS / f"page-{name}.png").write_bytes(page.screenshot(full_page=True))


def test_a_drawn_seven_is_answered(page: Page) -> None:
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


def test_history_and_both_ways_to_clear(page: Page) -> None:
    for count, strokes in enumerate((SEVEN, ONE), start=1):
        draw(page, strokes)
        page.click("#predict")
        expect(page.locator("#history li")).to_have_count(count)
        expect(page.locator("#history li .label").first).to_have_text(page.locator("#answer").inner_text())
        page.click("#clear-canvas")
        assert ink(page) == 0
        expect(page.locator("#predict")).to_be_disabled()
    expect(page.locator("#history li")).to_have_count(2)
    expect(page.locator("#history li .label").last).to_have_text("7")
    drawn = page.locator("#history canvas").evaluate_all(
        "all => all.map(c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v))"
    )
    assert drawn == [True, True]
    page.click("#clear-predictions")
    expect(page.locator("#history li")).to_have_count(0)
    expect(page.locator("#bars li")).to_have_count(0)
    expect(page.locator("#clear-predictions")).to_be_disabled()


def test_undo_takes_back_the_last_stroke(page: Page) -> None:
    draw(page, ONE)
    one = ink(page)
    draw(page, SEVEN)
    assert ink(page) > one
    page.keyboard.press("Control+z")
    assert ink(page) == one
    page.click("#undo")
    assert ink(page) == 0


def test_the_keyboard_is_enough_to_ask_and_clear(page: Page) -> None:
    draw(page, SEVEN)
    page.locator("#canvas").press("Enter")
    expect(page.locator("#answer")).to_have_text("7")
    page.locator("#canvas").press("Escape")
    assert ink(page) == 0


@pytest.mark.parametrize("page", [{"device_scale_factor": 2}], indirect=True)
def test_a_dense_screen_gets_all_its_pixels(page: Page) -> None:
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    assert page.locator("#canvas").evaluate("c => c.width") == pytest.approx(2 * box["width"], abs=4)
    draw(page, SEVEN)
    page.click("#predict")
    expect(page.locator("#answer")).to_have_text("7")
    keep(page, "light")


@pytest.mark.parametrize("page", [{"color_scheme": "dark", "device_scale_factor": 2}], indirect=True)
def test_dark(page: Page) -> None:
    for strokes in (ONE, SEVEN):
        page.click("#clear-canvas") if ink(page) else None
        draw(page, strokes)
        page.click("#predict")
        expect(page.locator("#bars li")).to_have_count(10)
    expect(page.locator("#history li")).to_have_count(2)
    keep(page, "dark")


@pytest.mark.parametrize(
    "page", [{"viewport": {"width": 320, "height": 700}, "has_touch": True, "device_scale_factor": 2}], indirect=True
)
def test_a_narrow_screen_has_no_sideways_scrolling(page: Page) -> None:
    draw(page, SEVEN)
    page.click("#predict")
    expect(page.locator("#history li")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    for name in ("#predict", "#undo", "#clear-canvas", "#clear-predictions"):
        box = page.locator(name).bounding_box()
        assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 320 and box["height"] >= 44
    keep(page, "narrow")


@pytest.mark.parametrize("page", [{"viewport": {"width": 1000, "height": 800}}], indirect=True)
def test_a_drawing_survives_a_resize(page: Page) -> None:
    draw(page, SEVEN)
    before = page.locator("#canvas").evaluate("c => c.width")
    page.set_viewport_size({"width": 320, "height": 700})
    page.wait_for_function("before => document.getElementById('canvas').width !== before", arg=before)
    assert ink(page) > 0
    page.click("#predict")
    expect(page.locator("#answer")).to_have_text("7")


@pytest.mark.parametrize("page", [{"has_touch": True, "viewport": {"width": 400, "height": 800}}], indirect=True)
def test_a_finger_draws(page: Page) -> None:
    page.locator("#canvas").tap(position={"x": 100, "y": 100})
    assert ink(page) > 0
    page.click("#predict")
    expect(page.locator("#history li")).to_have_count(1)


@pytest.mark.parametrize(
    ("status", "words"),
    [(500, "The server failed"), (503, "not ready yet"), (429, "busy"), (422, "Draw something first")],
)
def test_a_problem_is_told_in_plain_words(page: Page, status: int, words: str) -> None:
    detail = {500: "the server failed; its log has the reason.", 422: "draw something first."}.get(status, "other")
    problem = {"title": "x", "status": status, "detail": detail}

    def refuse(route: Route) -> None:
        route.fulfill(status=status, json=problem, content_type="application/problem+json")

    page.route("**/v1/predict", refuse)
    draw(page, SEVEN)
    page.click("#predict")
    expect(page.locator("#problem")).to_contain_text(words)
    expect(page.locator("#predict")).to_be_enabled()
    if status == 500:
        keep(page, "problem")


def test_a_server_that_has_gone_is_told(browser: Browser, digits_bundle: Path) -> None:
    with served(digits_bundle) as url:
        page = browser.new_page()
        page.goto(url)
        expect(page.locator("#status")).to_have_text("ready")
    draw(page, SEVEN)
    page.click("#predict")
    expect(page.locator("#problem")).to_contain_text("cannot be reached")
    expect(page.locator("#status")).to_have_text("not reached")
    page.close()


def test_a_key_is_asked_for_once(browser: Browser, digits_bundle: Path) -> None:
    with served(digits_bundle, env={"PILEUS_API_KEY": "sesame"}) as url:
        page = browser.new_page()
        page.goto(url)
        page.fill("#key", "sesame")
        page.click("#key-form button")
        expect(page.locator("#key-form")).to_be_hidden()
        draw(page, SEVEN)
        page.click("#predict")
        expect(page.locator("#answer")).to_have_text("7")
        page.close()


def test_a_photograph_is_chosen_and_answered(browser: Browser, photographs_bundle: Path, shared_data: Path) -> None:
    photographs = sorted((shared_data / "flowers" / "roses").glob("*.jpg"))
    with served(photographs_bundle) as url:
        page = browser.new_page(device_scale_factor=2)
        page.goto(url)
        expect(page.locator("#drop")).to_be_visible()
        expect(page.locator("#canvas")).to_be_hidden()
        for count, photograph in enumerate(photographs[:2], start=1):
            page.set_input_files("#photo", photograph)
            expect(page.locator("#history li")).to_have_count(count)
        expect(page.locator("#preview")).to_be_visible()
        keep(page, "photograph")
        page.click("#clear-canvas")
        expect(page.locator("#preview")).to_be_hidden()
        page.set_input_files("#photo", {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no picture"})
        expect(page.locator("#problem")).to_contain_text("not a PNG or JPEG")
        page.close()


def test_a_picture_of_writing_may_be_chosen_in_place_of_drawing(page: Page, tmp_path: Path) -> None:
    draw(page, SEVEN)
    (tmp_path / "seven.png").write_bytes(page.locator("#canvas").screenshot())
    page.click("#clear-canvas")
    page.set_input_files("#photo", tmp_path / "seven.png")
    expect(page.locator("#answer")).to_have_text("7")
