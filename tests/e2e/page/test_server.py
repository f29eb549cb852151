"""The page and its server: states, keys, and what the page does while the server is away."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.e2e.page.browsing import ONE, SEVEN, answering, asked, draw, forget_model, keep, needs_browser, opened
from tests.e2e.serving import served

pytestmark = needs_browser

HERE = "the same model answered in this browser"


def away(page: Page) -> None:
    """From now on nobody answers."""
    for path in ("readyz", "v1/predict", "v1/models"):
        page.route(f"**/{path}", lambda route: route.abort("connectionrefused"))


def ready_to_stand_in(page: Page) -> None:
    page.wait_for_function("() => localStorage.getItem('spare')")


def test_without_a_model_of_its_own_the_page_says_that_the_server_has_gone(page: Page) -> None:
    forget_model(page)
    away(page)
    draw(page, SEVEN)
    page.click("#predict")
    expect(page.locator("#problem")).to_contain_text("cannot be reached")
    expect(page.locator("#status")).to_have_text("not reached")


def test_the_page_answers_while_the_server_is_away_and_hands_back_when_it_returns(
    browser: Browser, digits_bundle: Path, tmp_path: Path
) -> None:
    kept = ("--feedback", str(tmp_path))
    with browser.new_context(device_scale_factor=2, service_workers="block") as context:
        page = context.new_page()
        with served(digits_bundle, *kept) as url:
            page.goto(url)
            ready_to_stand_in(page)
        draw(page, SEVEN)
        expect(page.locator("#here")).to_contain_text(HERE)
        expect(page.locator("#answer")).to_have_text("7")
        expect(page.locator("#latency")).to_contain_text("here")
        expect(page.locator("#status")).to_have_text("not reached")
        expect(page.locator("#feedback")).to_be_hidden()
        expect(page.locator("#problem")).to_be_hidden()
        keep(page, "away")
        port = url.rpartition(":")[2]
        with served(digits_bundle, *kept, "--port", port):
            expect(page.locator("#status")).to_have_text("ready", timeout=20_000)
            draw(page, [[(0.52, 0.5), (0.58, 0.5)]])
            expect(page.locator("#here")).to_be_hidden()
            expect(page.locator("#feedback")).to_be_visible()


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_server_that_cannot_answer_now_is_stood_in_for(page: Page, status: int) -> None:
    ready_to_stand_in(page)
    page.route("**/v1/predict", lambda route: route.fulfill(status=status, body="gone"))
    draw(page, SEVEN)
    expect(page.locator("#here")).to_contain_text(HERE)
    expect(page.locator("#answer")).to_have_text("7")


def test_the_kept_page_and_model_come_up_without_the_server(browser: Browser, digits_bundle: Path) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        with served(digits_bundle) as url:
            page.goto(url)
            ready_to_stand_in(page)
            page.wait_for_function("() => navigator.serviceWorker.controller")
            page.wait_for_function(
                "async () => (await caches.match('/')) && (await caches.match(document.scripts[0].src))"
            )
        page.reload()
        expect(page.locator("#status")).to_have_text("not reached")
        expect(page.locator("#model")).to_contain_text("digits")
        draw(page, SEVEN)
        expect(page.locator("#answer")).to_have_text("7")
        expect(page.locator("#here")).to_contain_text(HERE)


def test_the_worker_leaves_an_address_that_another_server_has_taken(browser: Browser, digits_bundle: Path) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        with served(digits_bundle) as url:
            page.goto(url)
            page.wait_for_function("() => navigator.serviceWorker.controller")
        with another_server(int(url.rpartition(":")[2])):
            page.goto(url)
            expect(page).to_have_title("another")
            page.wait_for_function("async () => (await navigator.serviceWorker.getRegistrations()).length === 0")


class Another(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<title>another</title>")

    def log_message(self, *words: object) -> None:
        pass


@contextmanager
def another_server(port: int) -> Iterator[None]:
    with ThreadingHTTPServer(("127.0.0.1", port), Another) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("state", ["starting", "draining"])
def test_the_state_of_the_server_is_told(page: Page, state: str) -> None:
    problem = {"status": 503, "detail": f"the server is {state}; try again."}
    page.route("**/readyz", lambda route: route.fulfill(status=503, json=problem))
    page.reload()
    expect(page.locator("#status")).to_have_text(state)
    page.unroute("**/readyz")
    expect(page.locator("#status")).to_have_text("ready", timeout=10_000)


def test_another_model_is_met_when_it_answers(page: Page) -> None:
    other = "f" * 16

    def renamed(document: dict[str, Any]) -> None:
        document.get("model", {})["version"] = other
        for model in document.get("models", []):
            model["version"] = other

    for path in ("predict", "models"):
        page.route(f"**/v1/{path}", answering(renamed))
    draw(page, ONE)
    expect(page.locator("#model")).to_contain_text("ffffffff")


def test_a_key_is_asked_for_once(browser: Browser, digits_bundle: Path) -> None:
    with served(digits_bundle, env={"PILEUS_API_KEY": "sesame"}) as url, opened(browser, url) as page:
        keys: list[str | None] = []

        def note(route: Route) -> None:
            keys.append(route.request.headers.get("authorization"))
            route.continue_()

        page.route("**/v1/bundles/**", note)
        page.fill("#key", "sesame")
        page.click("#key-form button")
        expect(page.locator("#key-form")).to_be_hidden()
        expect(page.locator("#model")).to_contain_text("digits")
        bodies = asked(page)
        draw(page, SEVEN)
        page.click("#predict")
        expect(page.locator("#answer")).to_have_text("7")
        assert bodies and set(keys) == {"Bearer sesame"}


def test_a_model_behind_a_key_is_not_kept_past_the_page(browser: Browser, digits_bundle: Path) -> None:
    with served(digits_bundle, env={"PILEUS_API_KEY": "sesame"}) as url, opened(browser, url) as page:
        page.fill("#key", "sesame")
        page.click("#key-form button")
        ready_to_stand_in(page)
        assert page.evaluate("caches.match(`/v1/bundles/${localStorage.getItem('spare')}/model.onnx`)") is None
        away(page)
        draw(page, SEVEN)
        expect(page.locator("#here")).to_contain_text(HERE)
