"""Several processes on one port, watched: real ones, killed for real."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

WAIT_S = 30


@contextmanager
def crew(bundle_folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "pileus", "serve", str(bundle_folder), "--port", "0", "--json"]
    with subprocess.Popen(
        [*command, "--processes", "2"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as watcher:
        assert watcher.stdout is not None
        try:
            yield watcher, json.loads("".join(iter(watcher.stdout.readline, "}\n")) + "}")["url"]
        finally:
            watcher.kill()


def members(watcher: subprocess.Popen[str]) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(watcher.pid).children():
        try:
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
        except psutil.Error:
            continue
    return found


def another(watcher: subprocess.Popen[str], than: list[psutil.Process]) -> list[psutil.Process]:
    """The members, once there are two again and one of them is new."""
    while True:
        assert watcher.poll() is None
        found = members(watcher)
        if len(found) == 2 and set(found) != set(than):
            return found


def test_a_dead_one_is_replaced_and_all_stop_together(bundle_folder: Path) -> None:
    with crew(bundle_folder) as (watcher, url):
        first = members(watcher)
        first[0].kill()
        second = another(watcher, first)
        assert httpx.get(f"{url}/readyz", timeout=WAIT_S).status_code == 200
        watcher.terminate()
        _, errors = watcher.communicate(timeout=WAIT_S)
        assert watcher.returncode == 0 and "Traceback" not in errors
        assert psutil.wait_procs(second, timeout=WAIT_S)[1] == []


def test_none_outlives_a_killed_watcher(bundle_folder: Path) -> None:
    with crew(bundle_folder) as (watcher, _):
        serving = members(watcher)
        watcher.kill()
        assert psutil.wait_procs(serving, timeout=WAIT_S)[1] == []


def test_one_that_dies_again_and_again_ends_the_whole(bundle_folder: Path) -> None:
    with crew(bundle_folder) as (watcher, _):
        serving = members(watcher)
        for _ in range(5):
            serving[0].kill()
            serving = another(watcher, serving)
        serving[0].kill()
        _, errors = watcher.communicate(timeout=WAIT_S)
        assert watcher.returncode == 1 and "died 6 times within 60 s" in errors


def test_what_stops_one_from_starting_stops_all_with_its_own_message(bundle_folder: Path, tmp_path: Path) -> None:
    for name in ("model.onnx", "manifest.json"):
        (tmp_path / name).write_bytes((bundle_folder / name).read_bytes()[:-1])
    command = [sys.executable, "-m", "pileus", "serve", str(tmp_path), "--port", "0", "--processes", "2"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S)
    assert ended.returncode == 1 and "manifest.json" in ended.stderr and "Traceback" not in ended.stderr


@pytest.fixture(autouse=True)
def _only_on_linux() -> None:
    if sys.platform != "linux":
        pytest.skip("sharing a socket between spawned processes is tested on Linux")
