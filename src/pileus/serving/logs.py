"""Logs for programs: one JSON document a line on the standard error, requests and messages alike."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any

from pileus.serving.connection import Request


def log_request(request: Request, status: int, now: float, model_version: str) -> None:
    """`now` by time.monotonic; times of a prediction are those of its batch."""
    line: dict[str, Any] = {
        "time": round(time.time(), 3),
        "request_id": request.id.decode(),
        "method": request.method.decode("latin-1"),
        "path": request.path[:200].decode("latin-1"),
        "status": status,
        "ms": _ms(now - request.started),
    }
    if model_version:
        line["model"] = model_version
    if (way := request.way) is not None:
        line |= {
            "queue_ms": _ms(way.sent_at - request.started),
            "batch": way.questions,
            "compute_ms": _ms(way.compute_s),
            "predictor": way.predictor,
        }
    if request.trace is not None and request.trace.id:
        line["trace_id"] = request.trace.id
    sys.stderr.write(json.dumps(line) + "\n")


class JsonLines(logging.Formatter):
    """Messages of this program in the same form."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": record.process,
            "message": record.getMessage(),
        }
        if isinstance(name := getattr(record, "request_id", None), str):
            line["request_id"] = name
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def log_as_json() -> None:
    """For a process of a server: from now on."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.getLogger().addHandler(handler)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
