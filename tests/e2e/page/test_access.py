"""The page for those who use a keyboard, a screen reader, other colours, little room or less motion."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.e2e.page.browsing import ONE, SEVEN, by_press, draw, keep, needs_browser, opened, until
from tests.e2e.page.test_answers import three
from tests.e2e.serving import served
from tests.servers.process import SERVICES

pytestmark = needs_browser

AXE = SERVICES / "axe" / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
NARROW = {"viewport": {"width": 320, "height": 700}, "has_touch": True, "device_scale_factor": 2}

_RUN = "async (rules) => (await axe.run(document, { runOnly: rules })).violations"


@pytest.fixture
def photographs(digits_bundle: Path, photographs_bundle: Path) -> Iterator[str]:
    with served(photographs_bundle) as url:
        yield url


def faults(page: Page) -> list[str]:
    """What axe-core finds: how grave, the rule, and where."""
    if not AXE.exists():
        pytest.skip(f"there is no {AXE}; run: make services SERVICES=axe")
    page.evaluate(AXE.read_text())
    found: list[dict[str, Any]] = page.evaluate(_RUN, RULES)
    return [f"{each['impact']} {each['id']}: {[node['target'] for node in each['nodes']]}" for each in found]


@pytest.mark.parametrize(
    "page",
    [{"color_scheme": "light"}, {"color_scheme": "dark"}, NARROW],
    indirect=True,
    ids=["light", "dark", "narrow"],
)
def test_axe_finds_no_fault(page: Page) -> None:
    assert faults(page) == []
    for strokes in (ONE, SEVEN):
        draw(page, strokes)
        page.click("#predict")
        expect(page.locator("#bars li")).to_have_count(10)
    assert faults(page) == []

    def answer_three(route: Route) -> None:
        response = route.fetch()
        document = response.json()
        three(document)
        route.fulfill(status=200, json=document)

    page.route("**/v1/predict", answer_three)
    page.click("#predict")
    expect(page.locator("#items button")).to_have_count(3)
    assert faults(page) == []
    page.route("**/v1/predict", lambda route: route.fulfill(status=500, json={"detail": "the server failed."}))
    page.click("#predict")
    expect(page.locator("#problem")).to_be_visible()
    assert faults(page) == []


def test_axe_finds_a_fault_that_is_there(page: Page) -> None:
    page.evaluate("document.querySelector('main').append(document.createElement('button'))")
    assert [fault.split(":")[0] for fault in faults(page)] == ["critical button-name"]


def test_axe_finds_no_fault_with_pictures(browser: Browser, photographs: str) -> None:
    with opened(browser, photographs) as page:
        expect(page.locator("#drop")).to_be_visible()
        assert faults(page) == []


def test_every_control_is_reached_in_the_order_that_is_seen(page: Page) -> None:
    by_press(page)
    draw(page, SEVEN)
    page.click("#predict")
    expect(page.locator("#history li")).to_have_count(1)
    page.locator("#theme").focus()
    reached = []
    while (name := page.evaluate("document.activeElement.id || document.activeElement.className")) not in reached:
        reached.append(name)
        if name:
            assert page.evaluate(
                "document.activeElement.matches(':focus-visible') || document.activeElement.id === 'theme'"
            )
        page.keyboard.press("Tab")
    expected = ["theme", "pen", "eraser", "canvas", "predict", "undo", "clear-canvas", "choose", "live"]
    expected += ["correct", "clear-predictions", "entry"]
    assert [name for name in reached if name in expected] == expected


def test_names_and_roles_are_what_a_screen_reader_needs(page: Page) -> None:
    draw(page, SEVEN)
    page.click("#predict")
    expect(page.locator("#history li")).to_have_count(1)
    for role, name in (
        ("application", "Drawing area"),
        ("button", "Predict"),
        ("button", "Undo"),
        ("switch", "Answer while I draw"),
        ("group", "Tool"),
        ("combobox", "This is wrong: it was"),
        ("list", "Probability of each class"),
        ("status", None),
    ):
        named = page.get_by_role(role, name=name, exact=True) if name else page.get_by_role(role)  # type: ignore[arg-type]
        expect(named.first).to_be_visible()


@pytest.mark.parametrize("page", [{"color_scheme": "light"}], indirect=True)
def test_colours_follow_the_system_until_they_are_chosen(page: Page) -> None:
    def ground() -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    def ink() -> list[int]:
        middle = "c => [...c.getContext('2d').getImageData(c.width / 2, c.height / 2, 1, 1).data]"
        return list(page.locator("#canvas").evaluate(middle))

    draw(page, ONE)
    light, dark_ink = ground(), ink()
    page.emulate_media(color_scheme="dark")
    until(page, lambda: ground() != light and ink() != dark_ink)
    dark = ground()
    page.click("#theme")
    assert (page.locator("#theme").inner_text(), ground()) == ("Light", light)
    until(page, lambda: ink() == dark_ink)
    page.click("#theme")
    page.emulate_media(color_scheme="light")
    page.reload()
    assert (page.locator("#theme").inner_text(), ground()) == ("Dark", dark)
    page.click("#theme")
    assert ground() == light


@pytest.mark.parametrize("page", [{"reduced_motion": "reduce"}], indirect=True)
def test_nothing_moves_where_motion_is_not_wanted(page: Page) -> None:
    draw(page, SEVEN)
    page.click("#predict")
    expect(page.locator("#bars li")).to_have_count(10)
    assert page.evaluate(
        "[...document.querySelectorAll('*')].every(e => getComputedStyle(e).transitionDuration === '0s')"
    )


@pytest.mark.parametrize("page", [NARROW], indirect=True)
def test_a_narrow_screen_has_no_sideways_scrolling(page: Page) -> None:
    draw(page, SEVEN)
    page.click("#predict")
    expect(page.locator("#history li")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    for button in page.locator("button:visible").all():
        box = button.bounding_box()
        assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 320 and box["height"] >= 44
    keep(page, "narrow")


@pytest.mark.parametrize(
    "page",
    [{"color_scheme": scheme, "device_scale_factor": 2} for scheme in ("light", "dark")],
    indirect=True,
    ids=["light", "dark"],
)
def test_pictures_are_kept_for_a_person_to_look_at(page: Page, request: pytest.FixtureRequest) -> None:
    for strokes in (ONE, SEVEN):
        page.click("#clear-canvas") if page.locator("#clear-canvas").is_enabled() else None
        draw(page, strokes)
        page.click("#predict")
        expect(page.locator("#bars li")).to_have_count(10)
    expect(page.locator("#history li")).to_have_count(2)
    keep(page, request.node.callspec.id)
