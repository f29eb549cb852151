"""The sheet: mouse, finger, pen and keys on it, undo and redo, the eraser, and every size of it."""

from __future__ import annotations

import pytest
from playwright.sync_api import CDPSession, Page, expect

from tests.e2e.page.browsing import ONE, SEVEN, asked, by_press, draw, ink, needs_browser, sent, spot

pytestmark = needs_browser

TOUCH = {"has_touch": True, "viewport": {"width": 400, "height": 800}}


def strokes(page: Page) -> list[list[list[float]]]:
    """What the page sends of its drawing."""
    with page.expect_request("**/v1/predict") as request:
        page.click("#predict")
    return list(sent(request.value)["strokes"])


def touch(session: CDPSession, page: Page, kind: str, *places: tuple[float, float]) -> None:
    points = [dict(zip("xy", spot(page, place), strict=True)) | {"id": i} for i, place in enumerate(places)]
    session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


def pen(session: CDPSession, page: Page, kind: str, place: tuple[float, float], force: float, buttons: int = 1) -> None:
    x, y = spot(page, place)
    event = {"type": kind, "x": x, "y": y, "button": "left", "buttons": buttons, "clickCount": 1}
    session.send("Input.dispatchMouseEvent", event | {"pointerType": "pen", "force": force})


def test_undo_and_redo_walk_over_strokes_and_clearing(page: Page) -> None:
    expect(page.locator("#undo")).to_be_disabled()
    draw(page, ONE)
    one = ink(page)
    draw(page, SEVEN)
    both = ink(page)
    assert both > one
    page.click("#clear-canvas")
    assert ink(page) == 0
    page.keyboard.press("Control+z")
    assert ink(page) == both
    page.click("#undo")
    assert ink(page) == one
    page.keyboard.press("Control+Shift+z")
    assert ink(page) == both
    page.click("#undo")
    page.click("#undo")
    assert ink(page) == 0
    expect(page.locator("#undo")).to_be_disabled()
    page.click("#redo")
    assert ink(page) == one
    draw(page, SEVEN)
    expect(page.locator("#redo")).to_be_disabled()


def test_the_eraser_cuts_a_line_in_two(page: Page) -> None:
    by_press(page)
    draw(page, [[(0.2, 0.5), (0.8, 0.5)]])
    assert len(strokes(page)) == 1
    page.click("#eraser")
    draw(page, [[(0.5, 0.3), (0.5, 0.7)]])
    left, right = strokes(page)
    assert max(x for x, *_ in left) < 500 < min(x for x, *_ in right)
    page.click("#undo")
    assert len(strokes(page)) == 1
    page.click("#pen")
    draw(page, ONE)
    assert len(strokes(page)) == 2


def test_a_drawing_is_sent_as_it_was_drawn(page: Page) -> None:
    by_press(page)
    draw(page, [[(0.25, 0.2), (0.75, 0.6)]])
    (stroke,) = strokes(page)
    assert stroke[0][:2] == pytest.approx([250, 150], abs=3)
    assert stroke[-1][:2] == pytest.approx([750, 450], abs=3)
    times = [point[2] for point in stroke]
    assert len(stroke) >= 10 and times == sorted(times) and times[0] == 0


@pytest.mark.parametrize("page", [TOUCH], indirect=True)
def test_a_finger_draws_and_a_second_one_does_not(page: Page) -> None:
    by_press(page)
    session = page.context.new_cdp_session(page)
    touch(session, page, "touchStart", (0.3, 0.3))
    touch(session, page, "touchMove", (0.4, 0.5))
    touch(session, page, "touchStart", (0.4, 0.5), (0.8, 0.8))
    touch(session, page, "touchMove", (0.5, 0.7), (0.9, 0.9))
    touch(session, page, "touchEnd")
    (stroke,) = strokes(page)
    assert max(x for x, *_ in stroke) < 600
    assert page.evaluate("scrollY") == 0


@pytest.mark.parametrize("page", [TOUCH], indirect=True)
def test_a_touch_that_the_system_takes_away_leaves_no_ink(page: Page) -> None:
    session = page.context.new_cdp_session(page)
    touch(session, page, "touchStart", (0.3, 0.3))
    touch(session, page, "touchMove", (0.5, 0.5))
    assert ink(page) > 0
    touch(session, page, "touchCancel")
    assert ink(page) == 0
    expect(page.locator("#undo")).to_be_disabled()


@pytest.mark.parametrize("page", [TOUCH], indirect=True)
def test_a_tap_is_a_dot(page: Page) -> None:
    page.locator("#canvas").tap(position={"x": 100, "y": 100})
    assert ink(page) > 0
    expect(page.locator("#history li")).to_have_count(1)


def test_a_pen_draws_as_wide_as_it_is_pressed(page: Page) -> None:
    session = page.context.new_cdp_session(page)
    areas = []
    for force in (0.1, 1.0):
        pen(session, page, "mousePressed", (0.2, 0.5), force)
        for step in range(1, 9):
            pen(session, page, "mouseMoved", (0.2 + step * 0.07, 0.5), force)
        pen(session, page, "mouseReleased", (0.76, 0.5), 0)
        areas.append(ink(page))
        page.click("#clear-canvas")
    assert areas[1] > 1.8 * areas[0]


@pytest.mark.parametrize("page", [TOUCH], indirect=True)
def test_the_palm_beside_a_pen_does_not_draw(page: Page) -> None:
    by_press(page)
    session = page.context.new_cdp_session(page)
    pen(session, page, "mousePressed", (0.3, 0.3), 0.5)
    pen(session, page, "mouseMoved", (0.4, 0.4), 0.5)
    pen(session, page, "mouseReleased", (0.4, 0.4), 0)
    touch(session, page, "touchStart", (0.8, 0.8))
    touch(session, page, "touchMove", (0.9, 0.9))
    touch(session, page, "touchEnd")
    assert len(strokes(page)) == 1


def test_the_keyboard_draws_asks_and_clears(page: Page) -> None:
    canvas = page.locator("#canvas")
    by_press(page)
    for key in ("ArrowUp", "ArrowUp", *["ArrowLeft"] * 6, " ", *["ArrowRight"] * 12, *["ArrowDown"] * 12, " "):
        canvas.press(key)
    canvas.press("ArrowDown")
    with page.expect_request("**/v1/predict") as request:
        canvas.press("Enter")
    (stroke,) = sent(request.value)["strokes"]
    assert stroke[0][:2] == [350, 325] and stroke[-1][:2] == [650, 625]
    expect(page.locator("#bars li")).to_have_count(10)
    canvas.press("Escape")
    expect(page.locator("#predict")).to_be_disabled()


def test_an_endless_scribble_stays_what_the_server_takes(page: Page) -> None:
    by_press(page)
    page.locator("#canvas").evaluate(
        """canvas => {
          const { left, top } = canvas.getBoundingClientRect();
          const send = (type, x, y) => canvas.dispatchEvent(
            new PointerEvent(type, { pointerId: 1, isPrimary: true, clientX: left + x, clientY: top + y }));
          canvas.setPointerCapture = () => {};
          send("pointerdown", 5, 5);
          for (let i = 0; i < 12000; i++) send("pointermove", 5 + (i % 2) * 200, 5 + (i % 97));
          send("pointerup", 9, 9);
        }"""
    )
    assert sum(map(len, strokes(page))) == 9000
    expect(page.locator("#history li")).to_have_count(1)


@pytest.mark.parametrize("page", [{"device_scale_factor": 2}], indirect=True)
def test_a_dense_screen_gets_all_its_pixels(page: Page) -> None:
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    assert page.locator("#canvas").evaluate("c => c.width") == pytest.approx(2 * box["width"], abs=4)
    draw(page, SEVEN)
    page.click("#predict")
    expect(page.locator("#answer")).to_have_text("7")


@pytest.mark.parametrize("page", [{"viewport": {"width": 1000, "height": 800}}], indirect=True)
def test_a_drawing_survives_a_resize(page: Page) -> None:
    by_press(page)
    bodies = asked(page)
    draw(page, SEVEN)
    page.click("#predict")
    before = page.locator("#canvas").evaluate("c => c.width")
    page.set_viewport_size({"width": 320, "height": 700})
    page.wait_for_function("before => document.getElementById('canvas').width !== before", arg=before)
    assert ink(page) > 0
    page.click("#predict")
    expect(page.locator("#history li")).to_have_count(2)
    assert bodies[0] == bodies[1]
