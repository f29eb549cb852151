"""Mosec: a front in Rust, batches in worker processes."""

from __future__ import annotations

import sys

import mosec

from serving_peers.model import Model, told_job


class Digits(mosec.Worker):
    def __init__(self) -> None:
        super().__init__()
        self._model = Model(told_job().bundle)

    def deserialize(self, data: bytes) -> bytes:
        return data

    def forward(self, data: bytes | list[bytes]) -> bytes | list[bytes]:
        return self._model.answers(data) if isinstance(data, list) else self._model.answers([data])[0]

    def serialize(self, data: bytes) -> bytes:
        return data


def main() -> None:
    job = told_job()
    sys.argv = [
        "mosec",
        "--address",
        "127.0.0.1",
        "--port",
        str(job.port),
        "--log-level",
        "error",
        "--timeout",
        "10000",
    ]
    server = mosec.Server()
    server.append_worker(
        Digits,
        num=job.workers,
        max_batch_size=job.settings["batch"],
        max_wait_time=job.settings["wait_ms"],
        route="/predict",
    )
    server.run()


if __name__ == "__main__":
    main()
