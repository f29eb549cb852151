"""The site: which path answers what, who may ask, and that every refusal is told as one problem."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

from pileus.serving.answers import JSON, Answer, Refusal, models_answer
from pileus.serving.connection import Connection, Request
from pileus.serving.feedback import Correct, Others, correct_of, nobody
from pileus.serving.metrics import MEDIA_TYPE
from pileus.serving.pages import read_pages
from pileus.serving.service import Service

Handler = Callable[[Request], Answer | None]
"""None: it will be answered later. May raise a Refusal."""

_log = logging.getLogger(__name__)
_SMALL_BYTES = 64 * 1024
"""Of a body that little is done with."""
_BUNDLES = b"/v1/bundles/"


class Route(NamedTuple):
    method: bytes
    handler: Handler
    label: str
    """In the metrics."""
    needs_key: bool = False
    check_head: Callable[[Request], int] = lambda request: _SMALL_BYTES


class Application:
    """Answers requests of all connections. `api_key` is asked of everyone for the API; None lets everyone in."""

    def __init__(
        self,
        service: Service,
        *,
        api_key: str | None,
        max_body_memory: int,
        left: Callable[[], None],
        others: Others = nobody,
        log: bool = False,
    ) -> None:
        """`left` is called after a connection has ended; `others` asks the other fronts about a correction."""
        self.closing = False
        self.connections: set[Connection] = set()
        self._service, self._left, self._others = service, left, others
        self._correcting: set[asyncio.Task[None]] = set()
        self._authorization = None if api_key is None else b"Bearer " + api_key.encode()
        self._room = max_body_memory
        self._logs = log
        self._pages = read_pages()
        self._routes = {
            **{path: Route(b"GET", self._page, path if path == "/" else "asset") for path in self._pages},
            "/livez": Route(b"GET", self._live, "/livez"),
            "/readyz": Route(b"GET", self._readiness, "/readyz"),
            "/metrics": Route(b"GET", self._metrics, "/metrics", needs_key=True),
            "/v1/models": Route(b"GET", self._models, "/v1/models", needs_key=True),
            "/v1/predict": Route(b"POST", self._predict, "/v1/predict", needs_key=True, check_head=service.check_head),
        }
        if service.feedback is not None:
            self._routes["/v1/feedback"] = Route(b"POST", self._correct, "/v1/feedback", needs_key=True)
        self._by_path = {path.encode(): route for path, route in self._routes.items()}
        self._bundle_route = Route(b"GET", self._bundle, "/v1/bundles", needs_key=True)

    # connection.Site

    def joined(self, connection: Connection) -> None:
        self.connections.add(connection)

    def left(self, connection: Connection) -> None:
        self.connections.discard(connection)
        self._left()

    def check_head(self, request: Request) -> int:
        route = self._route(request)
        if route is None:
            path = request.path[:100].decode("latin-1")
            raise Refusal(404, f"there is nothing at {path}; see / and /v1/models.")
        if request.method != route.method and (request.method, route.method) != (b"HEAD", b"GET"):
            allow = "GET, HEAD" if route.method == b"GET" else route.method.decode()
            detail = f"{request.path.decode()} answers {allow} (got {request.method.decode()})."
            raise Refusal(405, detail, headers=((b"allow", allow.encode()),))
        if route.needs_key and self._authorization is not None:
            self._check_key(request)
        return route.check_head(request)

    def claim(self, num_bytes: int) -> bool:
        if num_bytes > self._room:
            self._service.instruments.shed.add("memory")
            return False
        self._room -= num_bytes
        return True

    def release(self, num_bytes: int) -> None:
        self._room += num_bytes

    def begin(self, request: Request) -> None:
        try:
            route = self._route(request)
            assert route is not None  # check_head has found it
            answer = route.handler(request)
        except Refusal as refusal:
            answer = refusal.answer(request.id.decode())
        except Exception:
            _log.exception("request %s failed", request.id.decode())
            answer = Refusal(500, "the server failed; its log has the reason.").answer(request.id.decode())
        if answer is not None:
            request.answer(answer)

    def answered(self, request: Request, status: int, now: float) -> None:
        route = self._route(request)
        label = "other" if route is None else route.label
        instruments = self._service.instruments
        instruments.requests.add(label, str(status))
        instruments.request_s.observe(now - request.started, label)
        if self._logs:
            _log_request(request, status, now - request.started)

    # routes

    def _route(self, request: Request) -> Route | None:
        found = self._by_path.get(request.path)
        return self._bundle_route if found is None and request.path.startswith(_BUNDLES) else found

    def _check_key(self, request: Request) -> None:
        scheme, _, given = request.headers.get(b"authorization", b"").partition(b" ")
        assert self._authorization is not None
        if scheme.lower() != b"bearer" or not hmac.compare_digest(b"Bearer " + given.strip(), self._authorization):
            raise Refusal(
                401,
                "a key is required: send Authorization: Bearer KEY.",
                headers=((b"www-authenticate", b"Bearer"),),
            )

    def _page(self, request: Request) -> Answer:
        return _unless_known(request, self._pages[request.path.decode()])

    def _bundle(self, request: Request) -> Answer:
        """What a browser needs to answer by itself, of the model that answers now."""
        page = self._service.bundle_pages.get(request.path)
        if page is None:
            raise Refusal(404, "there is no such part of the model that answers here; see /v1/models.")
        return _unless_known(request, page)

    def _live(self, request: Request) -> Answer:
        return Answer(200, JSON, b'{"status":"alive"}')

    def _readiness(self, request: Request) -> Answer:
        self._service.check_ready()
        return Answer(200, JSON, b'{"status":"ready"}')

    def _metrics(self, request: Request) -> Answer:
        return Answer(200, MEDIA_TYPE, self._service.instruments.told(self._service.manifest))

    def _models(self, request: Request) -> Answer:
        return models_answer(self._service.manifest, keeps_feedback=self._service.feedback is not None)

    def _predict(self, request: Request) -> None:
        self._service.begin(request)

    def _correct(self, request: Request) -> None:
        correct = correct_of(bytes(request.body))
        task = asyncio.get_running_loop().create_task(self._answer_correction(request, correct))
        self._correcting.add(task)
        task.add_done_callback(self._correcting.discard)

    async def _answer_correction(self, request: Request, correct: Correct) -> None:
        assert self._service.feedback is not None
        outcome = await self._service.feedback.correct_anywhere(correct, self._others)
        if outcome.status == 202:
            request.answer(Answer(202, JSON, b'{"status":"kept"}'))
        else:
            retry_after_s = 1.0 if outcome.status in (429, 503) else 0.0
            refusal = Refusal(outcome.status, outcome.detail, retry_after_s=retry_after_s)
            request.answer(refusal.answer(request.id.decode()))


def _unless_known(request: Request, page: Answer) -> Answer:
    if request.headers.get(b"if-none-match") == dict(page.headers)[b"etag"]:
        return page._replace(status=304, body=b"")
    return page


def _log_request(request: Request, status: int, seconds: float) -> None:
    """One line of JSON on the standard error."""
    line = {
        "time": round(time.time(), 3),
        "request_id": request.id.decode(),
        "method": request.method.decode(),
        "path": request.path[:200].decode("latin-1"),
        "status": status,
        "ms": round(seconds * 1000, 3),
    }
    sys.stderr.write(json.dumps(line) + "\n")
