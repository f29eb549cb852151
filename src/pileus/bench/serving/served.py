"""`pileus serve` as its users start it, in a session of its own, for the length of a measurement."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, NamedTuple
from urllib.parse import urlsplit

from pileus.errors import WorkFailed

READY_S = 60.0
STOP_S = 30.0
_ASK_S = 10.0
_MOST_BYTES = 1 << 20


class Server(NamedTuple):
    host: str
    port: int
    process: subprocess.Popen[bytes]
    ready_s: float
    """From its start until it said where it answers, warm."""

    def get(self, path: str) -> bytes:
        """WorkFailed unless it answers 200."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=_ASK_S)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            content = response.read(_MOST_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise WorkFailed(f"the server did not answer {path}: {error or type(error).__name__}.") from error
        finally:
            connection.close()
        if response.status != http.client.OK:
            raise WorkFailed(f"the server answered {response.status} to {path}.")
        return content


@contextmanager
def served(place: str, options: Sequence[str] = (), environment: Mapping[str, str] | None = None) -> Iterator[Server]:
    """On a free port of this machine. WorkFailed where it is not ready in time, or does not end as it should.

    `environment` is added to this process's own. What it started is ended with it, whatever happens.
    """
    command = (sys.executable, "-m", "pileus", "serve", place, "--port", "0", "--json", "--quiet", *options)
    began = time.monotonic()
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=os.environ | (environment or {}),
    )
    assert process.stdout is not None
    try:
        address = urlsplit(_said_url(process, process.stdout, began + READY_S))
        if address.hostname is None or address.port is None:
            raise WorkFailed("the server did not say where it answers.")
        yield Server(address.hostname, address.port, process, time.monotonic() - began)
        process.send_signal(signal.SIGTERM)
        code = process.wait(STOP_S)
    except subprocess.TimeoutExpired as error:
        raise WorkFailed(f"the server did not end within {STOP_S:g} s of SIGTERM.") from error
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    if code:
        raise WorkFailed(f"the server ended with {code}.")


def _said_url(process: subprocess.Popen[bytes], out: IO[bytes], deadline: float) -> str:
    said = b""
    while True:
        if not select.select((out,), (), (), max(0.0, deadline - time.monotonic()))[0]:
            raise WorkFailed(f"the server was not ready within {READY_S:g} s.")
        piece = os.read(out.fileno(), 4096)
        said += piece
        with contextlib.suppress(json.JSONDecodeError):
            return str(json.loads(said)["url"])
        if not piece:
            raise WorkFailed(f"the server ended with {process.wait(STOP_S)} before it was ready.")


def batch_images(metrics: bytes) -> tuple[float, float]:
    """Images and batches so far, of the text of /metrics."""
    values = {"sum": 0.0, "count": 0.0}
    for line in metrics.decode().splitlines():
        name, _, value = line.partition(" ")
        if name.startswith("pileus_batch_images_"):
            part = name.removeprefix("pileus_batch_images_").partition("{")[0]
            if part in values:
                values[part] += float(value)
    return values["sum"], values["count"]
