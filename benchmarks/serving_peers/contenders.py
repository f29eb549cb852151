"""One server at a time, in a session of its own, ended clean: every process that it has started goes with it.

Orphans of a server (Ray starts daemons) become children of this process, so that none escapes.
"""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

from pileus.bench.serving.served import Server, served
from pileus.errors import WorkFailed
from serving_peers.settings import PILEUS, Peer, Settings

BENCHMARKS = Path(__file__).parents[1]
READY_S, STOP_S, ASK_S, LOOK_S = 90.0, 20.0, 5.0, 0.1
_PR_SET_CHILD_SUBREAPER = 36


class Contender(NamedTuple):
    peer: Peer
    settings: Settings

    @property
    def label(self) -> str:
        return f"{self.peer.name} ({', '.join(f'{name} {value}' for name, value in self.settings.items())})"


class Bench(NamedTuple):
    bundle: str
    peers_python: str
    body: bytes
    """One that is answered with 200, to see that a server is ready."""


@contextmanager
def running(bench: Bench, contender: Contender) -> Iterator[Server]:
    """WorkFailed where it is not ready in time."""
    if contender.peer.name == PILEUS:
        options = [word for name, value in contender.settings.items() for word in (f"--{name}", str(value))]
        with served(bench.bundle, options) as server:
            yield server
        return
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    port = free_port()
    job = json.dumps({"bundle": bench.bundle, "port": port, "settings": contender.settings})
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "BENTOML_DO_NOT_TRACK": "True", "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryFile() as log:
        began = time.monotonic()
        process = subprocess.Popen(
            [bench.peers_python, "-W", "ignore", "-m", f"serving_peers.{contender.peer.module}", job],
            env=os.environ | quiet | {"PYTHONPATH": str(BENCHMARKS)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            await_ready(process, port, contender.peer.path, bench.body)
            yield Server("127.0.0.1", port, process, time.monotonic() - began)
        except WorkFailed as error:
            log.seek(max(0, log.tell() - 2000))
            raise WorkFailed(f"{contender.label}: {error} {log.read().decode(errors='replace')[-500:]}") from error
        finally:
            end(process)


def await_ready(process: subprocess.Popen[bytes], port: int, path: str, body: bytes) -> None:
    """Until it answers the body with 200."""
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise WorkFailed(f"ended with {process.returncode} before it was ready.")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ASK_S)
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("POST", path, body, {"Content-Type": "application/octet-stream"})
            if connection.getresponse().status == http.client.OK:
                connection.close()
                return
        connection.close()
        time.sleep(LOOK_S)
    raise WorkFailed(f"not ready within {READY_S:g} s.")


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask the first process to end, then kill whatever is left below this one: the sender has ended before."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_S)
    left = psutil.Process().children(recursive=True)
    for each in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    psutil.wait_procs(left, STOP_S)
    process.wait(STOP_S)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def versions(python: str, names: list[str]) -> dict[str, str]:
    """Of distributions in that environment."""
    code = "import importlib.metadata as m, json, sys; print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"
    done = subprocess.run([python, "-c", code, *names], capture_output=True, text=True, check=True, timeout=60)
    found: dict[str, str] = json.loads(done.stdout)
    return found
