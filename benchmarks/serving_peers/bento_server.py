"""BentoML: its own batching needs bodies in its own forms, so raw bytes come in by an ASGI application that it mounts.

`batch` 1 computes there; more asks a second service, which batches.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import bentoml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serving_peers.model import Model, told_job

JOB = told_job()
QUIET = {"access": {"enabled": False}}


@bentoml.service(workers=JOB.workers, logging=QUIET)
class Batched:
    def __init__(self) -> None:
        self._model = Model(JOB.bundle)

    @bentoml.api(batchable=True, max_batch_size=max(2, JOB.settings["batch"]), max_latency_ms=1000)
    def answers(self, bodies: list[bytes]) -> list[bytes]:
        return self._model.answers(bodies)


def mounted() -> Starlette:
    async def predict(request: Request) -> Response:
        service = bentoml.get_current_service()
        return Response(await service.answer(await request.body()), media_type="application/json")

    return Starlette(routes=[Route("/predict", predict, methods=["POST"])])


@bentoml.service(workers=JOB.settings["fronts"], traffic={"timeout": 30, "max_concurrency": 4096}, logging=QUIET)
@bentoml.asgi_app(mounted(), path="/")
class Front:
    batched = bentoml.depends(Batched)

    async def answer(self, body: bytes) -> bytes:
        found: list[bytes] = await self.batched.to_async.answers([body])
        return found[0]


@bentoml.service(workers=JOB.workers, traffic={"timeout": 30, "max_concurrency": 4096}, logging=QUIET)
@bentoml.asgi_app(mounted(), path="/")
class Alone:
    def __init__(self) -> None:
        self._model = Model(JOB.bundle)

    async def answer(self, body: bytes) -> bytes:
        return self._model.answers([body])[0]


def main() -> None:
    service = "Alone" if JOB.settings["batch"] == 1 else "Front"
    os.environ |= {"BENTOML_DO_NOT_TRACK": "True", "PYTHONPATH": os.environ["PYTHONPATH"]}
    where = [
        "--host",
        "127.0.0.1",
        "--port",
        str(JOB.port),
        "--working-dir",
        str(Path(__file__).parents[1]),
    ]
    os.execv(
        sys.executable, [sys.executable, "-m", "bentoml", "serve", f"serving_peers.bento_server:{service}", *where]
    )


if __name__ == "__main__":
    main()
