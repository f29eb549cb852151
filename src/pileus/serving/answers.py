"""What goes back over the wire: predictions, and refusals as `application/problem+json` (RFC 9457)."""

from __future__ import annotations

import math
from functools import lru_cache
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec

from pileus.bundles import Manifest
from pileus.spec.preprocessing import Drawing

JSON = b"application/json"
PROBLEM = b"application/problem+json"

_TITLES = {
    400: "Cannot be decoded",
    401: "No or wrong key",
    404: "Not found",
    405: "Method not allowed",
    408: "The body came too slowly",
    411: "Length required",
    413: "Too large",
    415: "Unsupported media type",
    417: "Expectation failed",
    422: "Well-formed but impossible",
    429: "Too many requests",
    431: "The head is too large",
    500: "A fault of the server",
    503: "Not ready",
    504: "Past its deadline",
}

ABANDONED = 499
"""Never sent: in metrics, logs and traces, of requests whose clients have gone before their answers, as with nginx."""

STATUSES = (200, 202, 304, ABANDONED, *_TITLES)
"""Every one that is ever told."""

SAFETY = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
"""On every answer."""


class Answer(NamedTuple):
    """A whole response, but for what every response carries."""

    status: int
    media_type: bytes
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    own_lines: bytes = b""
    """Lines of the head, each ended by CR LF, that hardly another answer has."""


class Refusal(Exception):  # noqa: N818 - not a failure of ours: a request that is answered with a problem
    """Raised anywhere below the routing; becomes one problem answer."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        retry_after_s: float = 0.0,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers
        if retry_after_s > 0:
            self.headers += ((b"retry-after", str(math.ceil(retry_after_s)).encode()),)

    def answer(self, request_id: str) -> Answer:
        problem = {
            "type": "about:blank",
            "title": _TITLES[self.status],
            "status": self.status,
            "detail": self.detail,
            "request_id": request_id,
        }
        return Answer(self.status, PROBLEM, msgspec.json.encode(problem), self.headers)

    def inference_answer(self) -> Answer:
        """As the Open Inference Protocol has it."""
        return Answer(self.status, JSON, msgspec.json.encode({"error": self.detail}), self.headers)


def json_answer(value: object) -> Answer:
    return Answer(200, JSON, msgspec.json.encode(value))


def written(answer: Answer, request_id: bytes, *, body: bool = True, close: bool = False) -> bytes:
    """The whole response as it is sent; without `body` it tells of one that HEAD did not ask for."""
    return b"%b%b\r\ncontent-length: %d\r\n%b%b\r\n%b" % (
        _head(answer.status, answer.media_type, answer.headers),
        request_id,
        len(answer.body),
        answer.own_lines,
        b"connection: close\r\n" if close else b"",
        answer.body if body else b"",
    )


@lru_cache(64)
def _head(status: int, media_type: bytes, headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
    """All but the last headers; the request's id is to follow."""
    fields = [(b"content-type", media_type), *SAFETY, *headers]
    if not any(name == b"cache-control" for name, _ in headers):
        fields.append((b"cache-control", b"no-store"))
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode()]
    return b"\r\n".join([*lines, *(b"%b: %b" % field for field in fields), b"x-request-id: "])


def models_answer(manifest: Manifest, shadow: Manifest | None, *, keeps_feedback: bool) -> Answer:
    """`shadow` is compared with `manifest` and answers nobody."""
    models = [_model(manifest, "production") | {"feedback": keeps_feedback}]
    return json_answer({"models": models if shadow is None else [*models, _model(shadow, "shadow")]})


def _model(manifest: Manifest, role: str) -> dict[str, Any]:
    height, width, channels = manifest.input_shape
    return {
        "name": manifest.name,
        "version": manifest.short_version,
        "role": role,
        "classes": manifest.classes,
        "none": manifest.none,
        "several": manifest.several,
        "input": {
            "kind": "drawing" if isinstance(manifest.preprocessing, Drawing) else "picture",
            "height": height,
            "width": width,
            "channels": channels,
        },
        "calibration": manifest.calibration,
        "metrics": manifest.metrics,
    }
