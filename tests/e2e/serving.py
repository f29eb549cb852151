"""`pileus serve` as its users start it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
READY_S = 60


@contextmanager
def served(place: Path | str, *options: str, env: dict[str, str] | None = None) -> Iterator[str]:
    """`pileus serve` as a process of its own; yields its URL, and asks that it ends with 0 when told to."""
    command = [sys.executable, "-m", "pileus", "serve", str(place), "--port", "0", "--json", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **(env or {})}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    try:
        lines = list(iter(process.stdout.readline, "}\n"))
        yield json.loads("".join([*lines, "}"]))["url"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(READY_S) == 0
    finally:
        process.kill()
        process.communicate()
