"""The guard of tests/conftest.py is itself tested: a check that cannot fail is a defect."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

_CONFTEST = (Path(__file__).parent.parent / "conftest.py").read_text(encoding="utf-8")
_QUICK = _CONFTEST.replace("_GRACE_S = 5.0", "_GRACE_S = 0.2")

_CULPRITS = """
import pathlib, socket, subprocess, sys, tempfile, threading
LONG = "import time; time.sleep(60)"
kept = []

def test_process():
    subprocess.Popen([sys.executable, "-c", LONG])

def test_orphan():
    inner = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {LONG!r}])"
    subprocess.run([sys.executable, "-c", inner], check=True)

def test_thread():
    threading.Thread(target=threading.Event().wait, args=(1.0,), name="stray").start()

def test_port():
    kept.append(socket.create_server(("127.0.0.1", 0)))

def test_file():
    pathlib.Path(tempfile.gettempdir(), "pileus-stray").touch()

def test_clean():
    with tempfile.TemporaryDirectory(), socket.create_server(("127.0.0.1", 0)):
        subprocess.run([sys.executable, "-c", "pass"], check=True)
"""


def test_what_a_test_leaves_behind_fails_it(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(_QUICK)
    pytester.makepyfile(_CULPRITS)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=6, errors=5)
    for culprit in ("process *time.sleep*", "thread stray", "listening port *", "file pileus-stray"):
        result.stdout.fnmatch_lines([f"*left behind: {culprit}"])
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_orphan*", "left behind: process*"])


@pytest.mark.parametrize(("ci", "outcome"), [("", {"skipped": 2}), ("1", {"failed": 1, "skipped": 1})])
def test_a_missing_service_fails_in_ci_only(
    ci: str, outcome: dict[str, int], pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    pytester.makeconftest(_QUICK)
    pytester.makeini("[pytest]\nmarkers = service: needs a server")
    pytester.makepyfile(
        """
import pytest
@pytest.mark.service
def test_needs_a_server():
    pytest.skip("no server here")

@pytest.mark.service
def test_needs_data():
    pytest.skip("the real data sets are not at /nowhere")
"""
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(**outcome)
