"""LitServe: batches in worker processes, FastAPI in front, its own fast queue."""

from typing import Annotated

import litserve
from fastapi import Body, Response

from serving_peers.model import Job, Model, told_job


class Digits(litserve.LitAPI):
    def __init__(self, job: Job) -> None:
        settings = job.settings
        super().__init__(max_batch_size=settings["batch"], batch_timeout=settings["wait_ms"] / 1e3, api_path="/predict")
        self._job = job

    def setup(self, device: str) -> None:
        self._model = Model(self._job.bundle)

    def decode_request(self, request: Annotated[bytes, Body()]) -> bytes:
        return request

    def batch(self, inputs: list[bytes]) -> list[bytes]:
        return inputs

    def predict(self, bodies: bytes | list[bytes]) -> bytes | list[bytes]:
        return self._model.answers([bodies])[0] if isinstance(bodies, bytes) else self._model.answers(bodies)

    def unbatch(self, output: list[bytes]) -> list[bytes]:
        return output

    def encode_response(self, output: bytes) -> Response:
        return Response(output, media_type="application/json")


def main() -> None:
    job = told_job()
    server = litserve.LitServer(
        Digits(job), accelerator="cpu", workers_per_device=job.workers, fast_queue=job.settings["fast_queue"]
    )
    server.run(
        host="127.0.0.1",
        port=job.port,
        num_api_servers=job.settings["fronts"],
        generate_client_file=False,
        log_level="error",
        access_log=False,
    )


if __name__ == "__main__":
    main()
