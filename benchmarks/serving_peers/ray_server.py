"""Ray Serve: batches in replicas, a proxy in front."""

from __future__ import annotations

import signal
import threading

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

from serving_peers.model import Job, Model, told_job


def deployed(job: Job) -> serve.Application:
    settings = job.settings

    @serve.deployment(
        num_replicas=job.workers,
        max_ongoing_requests=1000,
        ray_actor_options={"num_cpus": 0.1},
        logging_config={"enable_access_log": False},
    )
    class Digits:
        def __init__(self) -> None:
            self._model = Model(job.bundle)

        @serve.batch(max_batch_size=settings["batch"], batch_wait_timeout_s=settings["wait_ms"] / 1e3)
        async def answers(self, bodies: list[bytes]) -> list[bytes]:
            return self._model.answers(bodies)

        async def __call__(self, request: Request) -> Response:
            return Response(await self.answers(await request.body()), media_type="application/json")

    return Digits.bind()  # type: ignore[attr-defined]


def main() -> None:
    job, ended = told_job(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    ray.init(include_dashboard=False, log_to_driver=False, configure_logging=False, num_cpus=4)
    serve.start(http_options={"host": "127.0.0.1", "port": job.port})
    serve.run(deployed(job), route_prefix="/predict")
    ended.wait()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()
