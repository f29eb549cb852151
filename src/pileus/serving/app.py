"""The ASGI application: which path answers what, who may ask, and that every refusal is told as one problem."""

from __future__ import annotations

import hmac
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from pileus.bundles import Bundle
from pileus.serving.answers import JSON, Answer, Refusal, models_answer
from pileus.serving.metrics import MEDIA_TYPE
from pileus.serving.pages import SAFETY, read_pages
from pileus.serving.requests import Headers, Receive
from pileus.serving.service import Service, Settings

Send = Callable[[dict[str, Any]], Awaitable[None]]

_log = logging.getLogger(__name__)
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class Request(NamedTuple):
    method: str
    path: str
    query: bytes
    headers: Headers
    receive: Receive
    id: str


Handler = Callable[[Request], Awaitable[Answer]]


class Route(NamedTuple):
    method: str
    handler: Handler
    needs_key: bool = False


class Application:
    """`ready` is called once when the model is warm; `failed` when it cannot answer any more.

    `api_key` is asked of everyone for the API and the metrics; None lets everyone in.
    """

    def __init__(
        self,
        bundle: Bundle,
        settings: Settings,
        *,
        api_key: str | None = None,
        ready: Callable[[], None] = lambda: None,
        failed: Callable[[BaseException], None] = lambda error: None,
    ) -> None:
        self._service = Service(bundle, settings)
        self._key = api_key
        self._ready, self._failed = ready, failed
        self._pages = read_pages()
        self._routes = {
            **{path: Route("GET", self._page) for path in self._pages},
            "/livez": Route("GET", self._live),
            "/readyz": Route("GET", self._readiness),
            "/metrics": Route("GET", self._metrics, needs_key=True),
            "/v1/models": Route("GET", self._models, needs_key=True),
            "/v1/predict": Route("POST", self._predict, needs_key=True),
        }

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live_through(receive, send)
        elif scope["type"] == "http":
            await self._respond(scope, receive, send)

    def drain(self) -> None:
        """Readiness off; what was begun is answered."""
        self._service.drain()

    async def _live_through(self, receive: Receive, send: Send) -> None:
        await receive()
        self._service.start(self._ready, self._failed)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._service.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _respond(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        start = time.perf_counter()
        headers = dict(scope["headers"])
        request = Request(scope["method"], scope["path"], scope["query_string"], headers, receive, _request_id(headers))
        try:
            answer = await self._handled(request)
        except Refusal as refusal:
            answer = refusal.answer(request.id)
        except ConnectionError:
            return
        except Exception:
            _log.exception("request %s failed", request.id)
            answer = Refusal(500, "the server failed; its log has the reason.").answer(request.id)
        await _send(answer, request, send)
        route = request.path if request.path in self._routes else "other"
        self._service.instruments.requests.add(route, str(answer.status))
        self._service.instruments.request_s.observe(time.perf_counter() - start, route)

    async def _handled(self, request: Request) -> Answer:
        route = self._routes.get(request.path)
        if route is None:
            raise Refusal(404, f"there is nothing at {request.path[:100]}; see / and /v1/models.")
        allowed = ("GET", "HEAD") if route.method == "GET" else (route.method,)
        if request.method not in allowed:
            allow = ", ".join(allowed)
            detail = f"{request.path} answers {allow} (got {request.method})."
            raise Refusal(405, detail, headers=((b"allow", allow.encode()),))
        if route.needs_key:
            self._check_key(request.headers)
        return await route.handler(request)

    def _check_key(self, headers: Headers) -> None:
        if self._key is None:
            return
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer" or not hmac.compare_digest(given.strip(), self._key.encode()):
            raise Refusal(
                401,
                "a key is required: send Authorization: Bearer KEY.",
                headers=((b"www-authenticate", b"Bearer"),),
            )

    async def _page(self, request: Request) -> Answer:
        page = self._pages[request.path]
        if request.headers.get(b"if-none-match") == dict(page.headers)[b"etag"]:
            return page._replace(status=304, body=b"")
        return page

    async def _live(self, request: Request) -> Answer:
        return Answer(200, JSON, b'{"status":"alive"}')

    async def _readiness(self, request: Request) -> Answer:
        self._service.check_ready()
        return Answer(200, JSON, b'{"status":"ready"}')

    async def _metrics(self, request: Request) -> Answer:
        return Answer(200, MEDIA_TYPE, self._service.instruments.told())

    async def _models(self, request: Request) -> Answer:
        return models_answer(self._service.bundle)

    async def _predict(self, request: Request) -> Answer:
        return await self._service.predict(request.id, request.query, request.headers, request.receive)


def _request_id(headers: Headers) -> str:
    """The asker's own where it is harmless, so that one id goes through all logs."""
    given = headers.get(b"x-request-id", b"")
    return given.decode() if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


async def _send(answer: Answer, request: Request, send: Send) -> None:
    headers = [
        (b"content-type", answer.media_type),
        (b"content-length", str(len(answer.body)).encode()),
        (b"x-request-id", request.id.encode()),
        *SAFETY,
        *answer.headers,
    ]
    if not any(name == b"cache-control" for name, _ in answer.headers):
        headers.append((b"cache-control", b"no-store"))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    body = b"" if request.method == "HEAD" else answer.body
    await send({"type": "http.response.body", "body": body})
