"""A MinIO server: S3 with conditional writes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.servers.process import SERVICES, free_ports, running

PROGRAM = SERVICES / "bin" / "minio"
BUCKET = "pileus"
_USER, _PASSWORD = "pileus-test", "only-for-tests-on-loopback"


class Minio(NamedTuple):
    """`environment` is what a program needs to reach it."""

    pid: int
    environment: dict[str, str]


@contextlib.contextmanager
def minio(folder: Path) -> Iterator[Minio]:
    """With one empty bucket. Skips where MinIO is not installed."""
    if not PROGRAM.exists():
        pytest.skip(f"there is no {PROGRAM}; run: make services SERVICES=minio")
    (folder / "disk" / BUCKET).mkdir(parents=True)
    port, console = free_ports(2)
    url = f"http://127.0.0.1:{port}"
    places = ["--address", f"127.0.0.1:{port}", "--console-address", f"127.0.0.1:{console}"]
    environment = {"MINIO_ROOT_USER": _USER, "MINIO_ROOT_PASSWORD": _PASSWORD, "HOME": str(folder)}
    command = [str(PROGRAM), "server", "--quiet", *places, str(folder / "disk")]
    with running(command, folder, f"{url}/minio/health/ready", env=environment) as pid:
        yield Minio(
            pid,
            {
                "AWS_ENDPOINT_URL": url,
                "AWS_ACCESS_KEY_ID": _USER,
                "AWS_SECRET_ACCESS_KEY": _PASSWORD,
                "AWS_REGION": "us-east-1",
                "AWS_EC2_METADATA_DISABLED": "true",
            },
        )
