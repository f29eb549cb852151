"""What a person does with the page, done by real pointer events in a real browser, and what they see of it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Request, Route, expect

from pileus.data.sources.strokes import DrawnDigit

CHROMIUM = Path("/usr/bin/chromium")
ARTEFACTS = Path(__file__).parents[3] / "artefacts"

Line = Sequence[tuple[float, float]]
"""In parts of the canvas."""
SEVEN: list[Line] = [[(0.35, 0.2), (0.7, 0.2), (0.45, 0.85)]]
ONE: list[Line] = [[(0.5, 0.15), (0.5, 0.85)]]

needs_browser = [
    pytest.mark.service,
    pytest.mark.skipif(
        not CHROMIUM.exists() and not os.environ.get("CI"), reason=f"no browser at {CHROMIUM}; run `make services`"
    ),
]


_MOST_FRAMES = 600


@contextmanager
def opened(browser: Browser, url: str, **options: Any) -> Iterator[Page]:
    """The page when its server is ready; fails where the page's own code failed. `options` are of the context."""
    with browser.new_context(**{"service_workers": "block", **options}) as context:
        page = context.new_page()
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.goto(url)
        expect(page.locator("#status")).to_have_text("ready")
        yield page
    assert [fault for fault in faults if "status of" not in fault and "ERR_" not in fault] == []


def spot(page: Page, place: tuple[float, float]) -> tuple[float, float]:
    """On the screen."""
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    return box["x"] + place[0] * box["width"], box["y"] + place[1] * box["height"]


def draw(page: Page, lines: Sequence[Line], *, steps: int = 12) -> None:
    page.locator("#canvas").scroll_into_view_if_needed()
    for line in lines:
        page.mouse.move(*spot(page, line[0]))
        page.mouse.down()
        for place in line[1:]:
            page.mouse.move(*spot(page, place), steps=steps)
        page.mouse.up()


def on_canvas(digit: DrawnDigit, left: float = 0.3, width: float = 0.4) -> list[Line]:
    """A person's digit as lines for `draw`: at `left`, at most `width` wide."""
    points = np.concatenate(digit.strokes).astype(float)
    low = points.min(axis=0)
    scale = width / float((points.max(axis=0) - low).max())
    return [
        [(left + float(x - low[0]) * scale, 0.2 + float(y - low[1]) * scale) for x, y in line] for line in digit.strokes
    ]


def ink(page: Page) -> int:
    """Pixels of the canvas that are drawn on, in the next frame."""
    page.evaluate("new Promise(requestAnimationFrame)")
    count = page.locator("#canvas").evaluate(
        "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.filter((v, i) => i % 4 === 3 && v).length"
    )
    return int(count)


def until(page: Page, holds: Callable[[], bool]) -> None:
    """Frame by frame, until it does."""
    for _ in range(_MOST_FRAMES):
        if holds():
            return
        page.evaluate("new Promise(requestAnimationFrame)")
    raise AssertionError(f"it did not come to hold within {_MOST_FRAMES} frames")


def asked(page: Page) -> list[dict[str, Any]]:
    """The bodies of all predictions that the page asks for from now on, as they go out."""
    bodies: list[dict[str, Any]] = []

    def note(route: Route) -> None:
        bodies.append(sent(route.request))
        route.continue_()

    page.route("**/v1/predict", note)
    return bodies


def sent(request: Request) -> dict[str, Any]:
    """The JSON that went out."""
    return dict(json.loads(request.post_data or "{}"))


def by_press(page: Page) -> None:
    """Answers are given on Predict alone from now on."""
    page.locator("#live").uncheck()


def forget_model(page: Page) -> None:
    """The page comes up anew and can not answer by itself."""
    page.wait_for_function("() => localStorage.getItem('spare')")
    page.evaluate("async () => { localStorage.removeItem('spare'); await caches.delete('pileus-model'); }")
    page.route("**/v1/bundles/**", lambda route: route.fulfill(status=404))
    page.reload()
    expect(page.locator("#status")).to_have_text("ready")


def answering(change: Callable[[dict[str, Any]], None], **headers: str) -> Callable[[Route], None]:
    """A route that changes what the server answers."""

    def handle(route: Route) -> None:
        response = route.fetch()
        document = response.json()
        change(document)
        route.fulfill(status=response.status, json=document, headers=headers)

    return handle


def keep(page: Page, name: str) -> None:
    """For a person to look at."""
    ARTEFACTS.mkdir(exist_ok=True)
    (ARTEFACTS / f"page-{name}.png").write_bytes(page.screenshot(full_page=True))
