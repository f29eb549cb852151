"""What goes back over the wire: predictions, and refusals as `application/problem+json` (RFC 9457)."""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec

from pileus.bundles import Bundle, Prediction
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
    422: "Well-formed but impossible",
    429: "Too many requests",
    500: "A fault of the server",
    503: "Not ready",
    504: "Past its deadline",
}

Box = tuple[int, int, int, int]
"""x, y, width, height in the units of the input."""


class Answer(NamedTuple):
    """A whole response, but for what every response carries."""

    status: int
    media_type: bytes
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


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


def json_answer(value: object) -> Answer:
    return Answer(200, JSON, msgspec.json.encode(value))


def prediction_answer(bundle: Bundle, request_id: str, items: list[tuple[Prediction, Box]]) -> Answer:
    """`items` from left to right; the text joins the labels, without those that were rejected."""
    document = {
        "request_id": request_id,
        "model": {"name": bundle.name, "version": bundle.version},
        "text": "".join(prediction.label or "" for prediction, _ in items),
        "confidence": _rounded(math.prod(prediction.confidence for prediction, _ in items)),
        "items": [_item(prediction, box) for prediction, box in items],
    }
    return json_answer(document)


def models_answer(bundle: Bundle) -> Answer:
    height, width, channels = bundle.input_shape
    manifest = bundle.manifest
    model = {
        "name": bundle.name,
        "version": bundle.version,
        "role": "production",
        "classes": bundle.classes,
        "input": {
            "kind": "drawing" if isinstance(manifest.preprocessing, Drawing) else "picture",
            "height": height,
            "width": width,
            "channels": channels,
        },
        "calibration": manifest.calibration,
        "metrics": manifest.metrics,
    }
    return json_answer({"models": [model]})


def _item(prediction: Prediction, box: Box) -> dict[str, object]:
    return {
        "label": prediction.label,
        "confidence": _rounded(prediction.confidence),
        "verdict": prediction.verdict,
        "probabilities": {name: _rounded(value) for name, value in prediction.probabilities.items()},
        "box": box,
    }


def _rounded(value: float) -> float:
    """Six digits: finer is noise of single precision."""
    return round(value, 6)
