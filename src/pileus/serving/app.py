"""The site: which path answers what, who may ask, and that every refusal is told as one problem."""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from pileus.serving import endpoints
from pileus.serving.answers import JSON, Answer, Refusal, json_answer, models_answer
from pileus.serving.connection import Connection, Request
from pileus.serving.endpoints import Endpoint
from pileus.serving.feedback import Correct, Others, correct_of, nobody
from pileus.serving.logs import log_request
from pileus.serving.metrics import MEDIA_TYPE
from pileus.serving.openapi import document, is_inference, version
from pileus.serving.pages import read_pages
from pileus.serving.requests import check_json, check_not_encoded
from pileus.serving.service import Service, version_asked
from pileus.serving.telemetry import Traces
from pileus.serving.tensors import described

Handler = Callable[[Request], Answer | None]
"""None: it will be answered later. May raise a Refusal."""

_log = logging.getLogger(__name__)
_SMALL_BYTES = 64 * 1024
"""Of a body that little is done with."""
_METHODS = {"GET": (b"GET", b"HEAD"), "POST": (b"POST",)}
"""What an endpoint of this method answers to."""
_BRACED = re.compile(r"\{(\w+)\}")


def _small(request: Request) -> int:
    return _SMALL_BYTES


class Route(NamedTuple):
    endpoint: Endpoint
    handler: Handler
    check_head: Callable[[Request], int] = _small
    """The most bytes of a body. May raise a Refusal."""


class Target(NamedTuple):
    """What a request's path names."""

    route: Route
    arguments: Mapping[str, str]
    """The parts that stand in braces in the path of the endpoint."""


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
        traces: Traces | None = None,
    ) -> None:
        """`left` is called after a connection has ended; `others` asks the other fronts about a correction."""
        self.closing = False
        self.connections: set[Connection] = set()
        self._service, self._left, self._others = service, left, others
        self._correcting: set[asyncio.Task[None]] = set()
        self._authorization = None if api_key is None else b"Bearer " + api_key.encode()
        self._room = max_body_memory
        self._logs, self._traces = log, traces
        self._pages = read_pages()
        routes = self._api()
        self._document = json_answer(document([route.endpoint for route in routes], with_key=api_key is not None))
        for path in self._pages:
            label = path if path == "/" else "asset"
            routes.append(Route(Endpoint("GET", path, label, "The page.", {}), self._page))
        patterned = [route for route in routes if "{" in route.endpoint.path]
        self._targets = {route.endpoint.path.encode(): Target(route, {}) for route in routes if route not in patterned}
        self._patterns = [(_pattern(route.endpoint.path), route) for route in patterned]

    # connection.Site

    def joined(self, connection: Connection) -> None:
        self.connections.add(connection)

    def left(self, connection: Connection) -> None:
        self.connections.discard(connection)
        self._left()

    def check_head(self, request: Request) -> int:
        target = self._target(request.path)
        if target is None:
            path = request.path[:100].decode("latin-1")
            raise Refusal(404, f"there is nothing at {path}; see / and /openapi.json.")
        request.target = target
        endpoint = target.route.endpoint
        if request.method not in _METHODS[endpoint.method]:
            allow = ", ".join(method.decode() for method in _METHODS[endpoint.method])
            detail = f"{endpoint.path} answers {allow} (got {request.method.decode()})."
            raise Refusal(405, detail, headers=((b"allow", allow.encode()),))
        if endpoint.needs_key and self._authorization is not None:
            self._check_key(request)
        if self._traces is not None and request.method == b"POST":
            request.trace = self._traces.begin(request, endpoint.label)
        if b"content-encoding" in request.headers:
            check_not_encoded(request.headers)
        return target.route.check_head(request)

    def claim(self, num_bytes: int) -> bool:
        if num_bytes > self._room:
            self._service.instruments.shed.add("memory")
            return False
        self._room -= num_bytes
        return True

    def release(self, num_bytes: int) -> None:
        self._room += num_bytes

    def begin(self, request: Request) -> None:
        route = _target_of(request).route
        try:
            if self._service.is_outdated(request):
                route.check_head(request)
            answer = route.handler(request)
        except Refusal as refusal:
            answer = self.told(request, refusal)
        except Exception:
            _log.exception("request %s failed", request.id.decode(), extra={"request_id": request.id.decode()})
            answer = self.told(request, Refusal(500, "the server failed; its log has the reason."))
        if answer is not None:
            request.answer(answer)

    def told(self, request: Request, refusal: Refusal) -> Answer:
        if is_inference(request.path):
            return refusal.inference_answer()
        return refusal.answer(request.id.decode())

    def answered(self, request: Request, status: int, now: float) -> None:
        label = request.target.route.endpoint.label if isinstance(request.target, Target) else "other"
        instruments = self._service.instruments
        instruments.requests.add(label, str(status))
        instruments.request_s.observe(now - request.started, label)
        if self._logs:
            log_request(request, status, now, version_asked(request))
        if self._traces is not None:
            self._traces.end(request, status, now, version_asked(request))

    # routes

    def _api(self) -> list[Route]:
        """All that the document tells of."""
        routes = [
            Route(endpoints.DOCUMENT, lambda request: self._document),
            Route(endpoints.LIVE, self._live),
            Route(endpoints.READY, self._readiness),
            Route(endpoints.METRICS, self._metrics),
            Route(endpoints.MODELS, self._models),
            Route(endpoints.BUNDLE, self._bundle),
            Route(endpoints.PREDICT, self._predict, self._service.check_head),
            Route(endpoints.SERVER, self._server),
            Route(endpoints.SERVER_LIVE, lambda request: json_answer({"live": True})),
            Route(endpoints.SERVER_READY, self._server_ready),
        ]
        for metadata, ready, infer in (endpoints.OF_MODEL, endpoints.OF_VERSION):
            routes += [
                Route(metadata, self._model_metadata),
                Route(ready, self._model_ready),
                Route(infer, self._infer, self._check_inference),
            ]
        if self._service.feedback is not None:
            routes.append(Route(endpoints.FEEDBACK, self._correct, _check_correction))
        return routes

    def _target(self, path: bytes) -> Target | None:
        target = self._targets.get(path)
        if target is not None:
            return target
        for pattern, route in self._patterns:
            found = pattern.fullmatch(path)
            if found is not None:
                parts = found.groupdict().items()
                return Target(route, {name: unquote_to_bytes(part).decode(errors="replace") for name, part in parts})
        return None

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
        service = self._service
        shadow = None if service.shadow is None else service.shadow.manifest
        return models_answer(service.manifest, shadow, keeps_feedback=service.feedback is not None)

    def _predict(self, request: Request) -> None:
        self._service.begin(request)

    def _server(self, request: Request) -> Answer:
        return json_answer({"name": "pileus", "version": version(), "extensions": ["binary_tensor_data"]})

    def _server_ready(self, request: Request) -> Answer:
        if self._service.state != "ready":
            raise Refusal(400, f"the server is {self._service.state}; try again.")
        return json_answer({"ready": True})

    def _model_metadata(self, request: Request) -> Answer:
        self._service.check_model(**_target_of(request).arguments)
        return json_answer(described(self._service.manifest))

    def _model_ready(self, request: Request) -> Answer:
        self._service.check_model(**_target_of(request).arguments)
        self._server_ready(request)
        return json_answer({"name": self._service.manifest.name, "ready": True})

    def _check_inference(self, request: Request) -> int:
        return self._service.check_inference_head(request, **_target_of(request).arguments)

    def _infer(self, request: Request) -> None:
        self._service.begin_inference(request)

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
            request.refuse(refusal)


def _pattern(path: str) -> re.Pattern[bytes]:
    return re.compile(_BRACED.sub(r"(?P<\1>[^/]+)", path).encode())


def _target_of(request: Request) -> Target:
    assert isinstance(request.target, Target)  # check_head has found it
    return request.target


def _check_correction(request: Request) -> int:
    check_json(request.headers)
    return _SMALL_BYTES


def _unless_known(request: Request, page: Answer) -> Answer:
    if request.headers.get(b"if-none-match") == dict(page.headers)[b"etag"]:
        return page._replace(status=304, body=b"")
    return page
