"""What every test may rely on, and what none may leave behind.

The guard makes "leaves nothing behind" a fact: it takes orphans of a test's processes as its own children,
gives the tests a temporary folder of their own, and fails the test that leaves a process, a thread, a port or
a file there.
"""

from __future__ import annotations

import ctypes
import multiprocessing.resource_tracker
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
IN_CI = bool(os.environ.get("CI"))

_GRACE_S = 5.0
"""How long what a test started may take to end after the test itself."""
_NOT_OURS = ("pytest-of-", "pymp-", "torchinductor_")
"""Names in the temporary folder that pytest, multiprocessing and torch keep to the end of the session."""
_MAY_APPEAR = (".", "artefacts")
"""Names in the checkout: caches of tools, and what tests keep for a person to look at."""
_NO_DATA = "the real data sets are not at"
_PR_SET_CHILD_SUBREAPER = 36

settings.register_profile("pileus", deadline=None, database=None, derandomize=IN_CI)
settings.load_profile("pileus")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As a shell starts what runs in the background; our processes would inherit it and be deaf to Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)

if sys.platform == "linux":
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Present(NamedTuple):
    """What of ours is there at one moment."""

    processes: set[psutil.Process]
    threads: set[threading.Thread]
    ports: set[int]
    files: set[str]


@pytest.fixture(scope="session", autouse=True)
def temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A short, empty folder that `tempfile` uses in this process and its children; gone at the end."""
    tmp_path_factory.getbasetemp()
    folder = Path(tempfile.mkdtemp(prefix="pileus-tests-"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setattr(tempfile, "tempdir", None)
        yield folder
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def nothing_left_behind(temporary_folder: Path) -> Iterator[None]:
    """Fail the test that leaves a process, a non-daemon thread, a listening port or a file of ours."""
    before = _present(temporary_folder)
    yield
    left = _settled(before, temporary_folder)
    complaints = [
        *(f"process {process.pid}: {_told(process)}" for process in left.processes),
        *(f"thread {thread.name}" for thread in left.threads),
        *(f"listening port {port}" for port in left.ports),
        *(f"file {name}" for name in left.files),
    ]
    for process in left.processes:
        process.kill()
    psutil.wait_procs(left.processes, timeout=_GRACE_S)
    if complaints:
        pytest.fail("left behind: " + "; ".join(complaints), pytrace=False)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets beside the checkout; the test is skipped where it is not there."""
    folder = ROOT.parent / "shared" / "data"
    if not (folder / "mnist").is_dir():
        pytest.skip(f"{_NO_DATA} {folder}")
    return folder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a service that should be there and is not fails the run."""
    report = yield
    excused = _NO_DATA in str(report.longrepr)
    if IN_CI and report.skipped and item.get_closest_marker("service") and not excused:
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, where every service must be there: {report.longrepr}"
    return report


def _present(folder: Path) -> Present:
    this = psutil.Process()
    helpers = {multiprocessing.resource_tracker._resource_tracker._pid}  # type: ignore[attr-defined]
    return Present(
        processes={child for child in this.children(recursive=True) if child.pid not in helpers},
        threads={thread for thread in threading.enumerate() if not thread.daemon},
        ports={each.laddr.port for each in this.net_connections("tcp") if each.status == psutil.CONN_LISTEN},
        files={each.name for each in folder.iterdir() if not each.name.startswith(_NOT_OURS)}
        | {each.name for each in ROOT.iterdir() if not each.name.startswith(_MAY_APPEAR)},
    )


def _settled(before: Present, folder: Path) -> Present:
    """What is more than before, after a deadline for processes and threads that are just ending."""
    left = _difference(_present(folder), before)
    if not left.processes and not left.threads:
        return left
    psutil.wait_procs(left.processes, timeout=_GRACE_S)
    for thread in left.threads:
        thread.join(_GRACE_S)
    return _difference(_present(folder), before)


def _difference(now: Present, before: Present) -> Present:
    return Present(
        processes=now.processes - before.processes,
        threads=now.threads - before.threads,
        ports=now.ports - before.ports,
        files=now.files - before.files,
    )


def _told(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()) or process.status()
    except psutil.Error:
        return "gone"
