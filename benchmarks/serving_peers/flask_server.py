"""Flask behind gunicorn's threaded workers, which keep connections open."""

from __future__ import annotations

import os
import sys

from flask import Flask, Response, request

from serving_peers.model import Model, told_job


def made() -> Flask:
    app, model = Flask("digits"), Model(told_job().bundle)

    def predict() -> Response:
        return Response(model.answers([request.get_data()])[0], mimetype="application/json")

    app.post("/predict")(predict)
    return app


def main() -> None:
    job = told_job()
    os.execv(
        sys.executable,
        [
            *(sys.executable, "-m", "gunicorn", "serving_peers.flask_server:made()"),
            *("--bind", f"127.0.0.1:{job.port}", "--workers", str(job.workers)),
            *("--worker-class", "gthread", "--threads", str(job.settings["threads"])),
            *("--keep-alive", "30", "--worker-connections", "2000", "--backlog", "2048", "--log-level", "error"),
        ],
    )


if __name__ == "__main__":
    main()
