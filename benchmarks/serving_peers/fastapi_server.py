"""FastAPI and ONNX Runtime: uvicorn's workers, uvloop and httptools; each request is computed where it is read."""

from __future__ import annotations

import uvicorn
from fastapi import FastAPI, Request, Response

from serving_peers.model import Model, told_job


def made() -> FastAPI:
    app, model = FastAPI(openapi_url=None), Model(told_job().bundle)

    async def predict(request: Request) -> Response:
        return Response(model.answers([await request.body()])[0], media_type="application/json")

    app.post("/predict")(predict)
    return app


def main() -> None:
    job = told_job()
    uvicorn.run(
        "serving_peers.fastapi_server:made",
        factory=True,
        host="127.0.0.1",
        port=job.port,
        workers=job.workers,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="error",
    )


if __name__ == "__main__":
    main()
