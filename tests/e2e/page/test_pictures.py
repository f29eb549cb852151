"""Pictures on the page: chosen, dropped and pasted, for a classifier of photographs and as pictures of writing."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.page.browsing import SEVEN, draw, ink, keep, needs_browser, opened
from tests.e2e.serving import served

pytestmark = needs_browser

_GIVE = """([id, type, bytes, mime, name]) => {
  const data = new DataTransfer();
  data.items.add(new File([Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0))], name, { type: mime }));
  const event = type === "paste" ? new ClipboardEvent(type, { clipboardData: data, bubbles: true })
    : new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true });
  document.getElementById(id).dispatchEvent(event);
}"""


@pytest.fixture(scope="module")
def photographs(browser: Browser, photographs_bundle: Path) -> Iterator[str]:
    with served(photographs_bundle) as url:
        yield url


@pytest.fixture(scope="module")
def photograph(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    return sorted((shared_data / "flowers" / "roses").glob("*.jpg"))[0]


def give(page: Page, way: str, content: bytes, mime: str = "image/jpeg", name: str = "rose.jpg") -> None:
    """Drop or paste a file, as the browser's own events."""
    page.evaluate(_GIVE, ["sheet", way, base64.b64encode(content).decode(), mime, name])


def test_a_photograph_is_chosen_and_answered(browser: Browser, photographs: str, photograph: Path) -> None:
    with opened(browser, photographs, device_scale_factor=2) as page:
        expect(page.locator("#drop")).to_be_visible()
        expect(page.locator("#canvas")).to_be_hidden()
        expect(page.locator("#live")).to_be_hidden()
        page.set_input_files("#photo", photograph)
        expect(page.locator("#history li")).to_have_count(1)
        expect(page.locator("#bars li")).to_have_count(10)
        page.get_by_alt_text("The chosen picture").wait_for()
        keep(page, "photograph")
        page.click("#clear-canvas")
        expect(page.locator("#preview")).to_be_hidden()
        page.set_input_files("#photo", {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no picture"})
        expect(page.locator("#problem")).to_contain_text("“notes.txt” is not a PNG or JPEG")
        page.set_input_files("#photo", {"name": "torn.png", "mimeType": "image/png", "buffer": b"\x89PNG"})
        expect(page.locator("#problem")).to_contain_text("“torn.png” is not a PNG or JPEG")


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_a_photograph_is_dropped_or_pasted(browser: Browser, photographs: str, photograph: Path, way: str) -> None:
    with opened(browser, photographs) as page:
        if way == "drop":
            give(page, "dragover", photograph.read_bytes())
            expect(page.locator("#sheet")).to_have_class("dropping")
        with page.expect_request("**/v1/predict") as request:
            give(page, way, photograph.read_bytes())
        assert request.value.headers["content-type"] == "image/jpeg"
        expect(page.locator("#history li")).to_have_count(1)
        expect(page.locator("#sheet")).not_to_have_class("dropping")


def test_a_past_picture_comes_back(browser: Browser, photographs: str, photograph: Path) -> None:
    with opened(browser, photographs) as page:
        give(page, "drop", photograph.read_bytes())
        expect(page.locator("#history li")).to_have_count(1)
        page.click("#clear-canvas")
        page.click("#history button")
        page.get_by_alt_text("The chosen picture").wait_for()
        page.click("#predict")
        expect(page.locator("#history li")).to_have_count(2)


def test_a_picture_of_writing_may_stand_in_place_of_a_drawing(page: Page) -> None:
    draw(page, SEVEN)
    seven = base64.b64decode(page.locator("#canvas").evaluate("c => c.toDataURL('image/png')").partition(",")[2])
    page.click("#clear-canvas")
    give(page, "paste", seven, "image/png", "seven.png")
    expect(page.locator("#answer")).to_have_text("7")
    expect(page.locator("#preview")).to_be_visible()
    assert ink(page) == 0
    draw(page, SEVEN)
    expect(page.locator("#preview")).to_be_hidden()
    assert ink(page) > 0
