"""What every test may rely on, and what none may leave behind.

The guard makes "leaves nothing behind" a fact: it takes orphans of a test's processes as its own children,
gives the tests a temporary folder of their own, and fails the test that leaves a process, a thread, a port or
a file there.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing.resource_tracker
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from hypothesis import settings
from xdist.remote import Producer

from tests.servers.azurite import azurite
from tests.servers.hdfs import hdfs
from tests.servers.minio import Minio, minio
from tests.sharing import LoadGroups

ROOT = Path(__file__).resolve().parent.parent
IN_CI = bool(os.environ.get("CI"))

_GRACE_S = 5.0
"""How long what a test started may take to end after the test itself."""
_LOOK_S = 0.02
_IN_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 4 << 30
"""Of a file system in memory, that temporary folders lie there."""
_NOT_OURS = ("pytest-of-", "pymp-", "torchinductor_")
"""Names in the temporary folder that pytest, multiprocessing and torch keep to the end of the session."""
_MAY_APPEAR = (".", "artefacts")
"""Names in the checkout: caches of tools, and what tests keep for a person to look at."""
_NO_DATA = "the real data sets are not at"
_PR_SET_CHILD_SUBREAPER = 36
_MOST_TOLD = 8_000
"""Characters, from the end, of why a first try failed."""

settings.register_profile("pileus", deadline=None, database=None, derandomize=IN_CI)
settings.load_profile("pileus")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As a shell starts what runs in the background; our processes would inherit it and be deaf to Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)

if sys.platform == "linux":
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Present(NamedTuple):
    """What of ours is there at one moment."""

    processes: dict[psutil.Process, int]
    """And the parent of each. One that has ended and whom another than these tests must wait for is not there."""
    threads: set[threading.Thread]
    ports: set[int]
    files: set[str]


def pytest_configure() -> None:
    """What has to be so before torch is imported and a folder made.

    Each of several processes of pytest computes with its share of the cores: the threads of one would spin while those
    of another have the core. Temporary folders lie in memory, where there is room: a run syncs each value that it
    writes, and waits for a disk longer than for its training.
    """
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if processes > 1:
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    if _IN_MEMORY.is_dir() and shutil.disk_usage(_IN_MEMORY).free >= _ROOM_BYTES:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_IN_MEMORY))


@pytest.fixture(scope="session", autouse=True)
def temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A short, empty folder that `tempfile` uses in this process and its children; gone at the end."""
    tmp_path_factory.getbasetemp()
    folder = Path(tempfile.mkdtemp(prefix="pileus-tests-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setattr(tempfile, "tempdir", None)
        yield folder
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def nothing_left_behind(temporary_folder: Path) -> Iterator[None]:
    """Fail the test that leaves a process, a non-daemon thread, a listening port or a file of ours."""
    before = present(temporary_folder)
    yield
    found = complaints(before, temporary_folder)
    if found:
        pytest.fail("left behind: " + "; ".join(found), pytrace=False)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets beside the checkout; the test is skipped where it is not there."""
    folder = ROOT.parent / "shared" / "data"
    if not (folder / "mnist").is_dir():
        pytest.skip(f"{_NO_DATA} {folder}")
    return folder


@pytest.fixture(scope="session")
def minio_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Minio]:
    with minio(tmp_path_factory.mktemp("minio")) as server:
        yield server


@pytest.fixture(scope="session")
def azure_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with azurite(tmp_path_factory.mktemp("azurite")) as environment:
        yield environment


@pytest.fixture(scope="session")
def hdfs_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with hdfs(tmp_path_factory.mktemp("hdfs")) as address:
        yield address


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadGroups | None:
    return LoadGroups(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a service that should be there and is not fails the run."""
    report = yield
    excused = _NO_DATA in str(report.longrepr)
    if IN_CI and report.skipped and item.get_closest_marker("service") and not excused:
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, where every service must be there: {report.longrepr}"
    return report


def complaints(before: Present, folder: Path) -> list[str]:
    """A line for whatever is more than before; processes among it are ended."""
    left = _settled(before, folder)
    found = [
        *(f"process {process.pid}: {_told(process)}" for process in left.processes),
        *(f"thread {thread.name}" for thread in left.threads),
        *(f"listening port {port}" for port in left.ports),
        *(f"file {name}" for name in left.files),
    ]
    for process in left.processes:
        process.kill()
    psutil.wait_procs(left.processes, timeout=_GRACE_S)
    return found


def present(folder: Path) -> Present:
    this = psutil.Process()
    return Present(
        processes=dict(_living(this)),
        threads={thread for thread in threading.enumerate() if not thread.daemon},
        ports={each.laddr.port for each in this.net_connections("tcp") if each.status == psutil.CONN_LISTEN},
        files={each.name for each in folder.iterdir() if not each.name.startswith(_NOT_OURS)}
        | {each.name for each in ROOT.iterdir() if not each.name.startswith(_MAY_APPEAR)},
    )


def _living(this: psutil.Process) -> Iterator[tuple[psutil.Process, int]]:
    helper = multiprocessing.resource_tracker._resource_tracker._pid  # type: ignore[attr-defined]
    for child in this.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = child.ppid()
            if child.pid != helper and (parent == this.pid or child.status() != psutil.STATUS_ZOMBIE):
                yield child, parent


def _settled(before: Present, folder: Path) -> Present:
    """What is more than before, after a deadline for processes and threads that are just ending."""
    deadline = time.monotonic() + _GRACE_S
    while True:
        left = _difference(present(folder), before)
        if not (left.processes or left.threads) or time.monotonic() >= deadline:
            return left
        psutil.wait_procs(left.processes, timeout=_LOOK_S)
        for thread in left.threads:
            thread.join(_LOOK_S)


def _difference(now: Present, before: Present) -> Present:
    return Present(
        processes=_more(now.processes, before.processes),
        threads=now.threads - before.threads,
        ports=now.ports - before.ports,
        files=now.files - before.files,
    )


def _more(now: dict[psutil.Process, int], before: dict[psutil.Process, int]) -> dict[psutil.Process, int]:
    """New ones; not those that a server of several tests started in the place of one that it lost."""
    this, older = os.getpid(), {process.pid for process in before}
    lost = Counter(parent for process, parent in before.items() if process not in now)
    more = {}
    for process, parent in now.items():
        if process in before:
            continue
        if parent != this and parent in older and lost[parent] > 0:
            lost[parent] -= 1
        else:
            more[process] = parent
    return more


def _told(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()) or process.status()
    except psutil.Error:
        return "gone"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Why a test that passed at its second try failed at its first: a fault to mend, of which nothing else is kept."""
    for report in terminalreporter.stats.get("rerun", []):
        terminalreporter.write_sep("_", f"first try of {report.nodeid}")
        terminalreporter.write_line(report.longreprtext[-_MOST_TOLD:])
