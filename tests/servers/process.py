"""Start a real server on a free loopback port, wait until it answers, and end it by its process id."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_LOOK_S = 0.05
_END_S = 20.0

SERVICES = Path(os.environ.get("PILEUS_SERVICES") or Path.home() / ".cache" / "pileus" / "services")
"""Where scripts/services.sh keeps what Debian has not."""


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(each.getsockname()[1]) for each in sockets]


@contextlib.contextmanager
def running(
    command: Sequence[str], folder: Path, ready: str, *, deadline_s: float = 60.0, env: Mapping[str, str] | None = None
) -> Iterator[int]:
    """Run a server in a folder of its own until the block ends; `ready` is a URL that is answered once it is up,
    with whatever status but 5xx.

    Yields the process id. AssertionError with the end of its log where it does not come up.
    """
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env={**os.environ, **(env or {})}
        )
    try:
        deadline = time.monotonic() + deadline_s
        while not _answers(ready):
            assert process.poll() is None, f"{command[0]} ended with {process.returncode}:\n{_end_of(log)}"
            assert time.monotonic() < deadline, f"{command[0]} is not ready after {deadline_s} s:\n{_end_of(log)}"
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_LOOK_S)
        yield process.pid
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """By SIGTERM, or by SIGKILL where that does not end it in time."""
    process.terminate()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return error.code < 500
    except OSError:
        return False


def _end_of(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-2000:]
