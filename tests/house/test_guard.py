"""The guard of tests/conftest.py is itself tested: a check that cannot fail is a defect."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.house.tree import ROOT

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

_SERVER = """
import subprocess, sys
import pytest

SERVER = '''
import subprocess, sys
SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
child = subprocess.Popen(SLEEP)
print(flush=True)
for word in sys.stdin:
    others = [subprocess.Popen(SLEEP) for _ in range(int(word))]
    child.kill()
    child.wait()
    child = others[0]
    print(*(other.pid for other in others), flush=True)
for other in others:
    other.kill()
'''

@pytest.fixture(scope="module")
def server():
    pipe = subprocess.PIPE
    server = subprocess.Popen([sys.executable, "-c", SERVER], stdin=pipe, stdout=pipe, text=True, bufsize=1)
    server.stdout.readline()
    yield server
    server.communicate()

def asked(server, count):
    server.stdin.write(f"{count}\\n")
    server.stdout.readline()

@pytest.mark.parametrize("count", [1, 2])
def test_server(server, count):
    asked(server, count)
"""


@pytest.fixture(autouse=True)
def tests_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """What conftest.py imports, from the folder of another pytest."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)


def test_a_server_may_start_another_process_in_the_place_of_one(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(_QUICK)
    pytester.makepyfile(_SERVER)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_server?2?*", "left behind: process*"])


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
