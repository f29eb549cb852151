"""What every store must keep to: versions, absence, order, and all or nothing.

Of the stores that are servers each is a real one; `tests/unit/store` has what only one of them can do.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pytest

from pileus.errors import AlreadyExists, NotFound, StoreError, UsageError, VersionConflict
from pileus.store import Store, files, open_store

_SRC = Path(__file__).resolve().parents[2] / "src"
_NAME = "store #1 at 100%"

_SERVERS = [pytest.param(name, marks=pytest.mark.service) for name in ("s3", "az", "webhdfs")]
_SWAPPING = ["files", "files by name", "memory", *_SERVERS[:2]]
_EVERY = [*_SWAPPING, _SERVERS[2]]
_BETWEEN_PROCESSES = ["files", *_SERVERS]


class Kind(NamedTuple):
    """One kind of store. Asked for as a session's fixture, so that its server is no test's own."""

    name: str
    base: str = ""
    """Of the URI, for a server."""
    environment: Mapping[str, str] = {}


def _kind(request: pytest.FixtureRequest) -> Kind:
    match request.param:
        case "s3":
            return Kind("s3", "s3://pileus", request.getfixturevalue("minio_server").environment)
        case "az":
            return Kind("az", "az://pileus", request.getfixturevalue("azure_environment"))
        case "webhdfs":
            return Kind("webhdfs", f"webhdfs://pileus@{request.getfixturevalue('hdfs_address')}")
    return Kind(request.param)


every_kind = pytest.fixture(_kind, scope="session", params=_EVERY, name="every_kind")
swapping_kind = pytest.fixture(_kind, scope="session", params=_SWAPPING, name="swapping_kind")
shared_kind = pytest.fixture(_kind, scope="session", params=_BETWEEN_PROCESSES, name="shared_kind")
both_kind = pytest.fixture(_kind, scope="session", params=_BETWEEN_PROCESSES[:3], name="both_kind")


@pytest.fixture
def disk() -> Iterator[Path]:
    """A folder on a disk, for the folders of tests may lie in memory."""
    with tempfile.TemporaryDirectory(prefix="pileus-store-", dir="/var/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def store(every_kind: Kind, disk: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    return _opened(every_kind, disk, monkeypatch)


@pytest.fixture
def swapping_store(swapping_kind: Kind, disk: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    return _opened(swapping_kind, disk, monkeypatch)


@pytest.fixture
def shared_store(shared_kind: Kind, disk: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Other processes reach it by its URI."""
    return _opened(shared_kind, disk, monkeypatch)


@pytest.fixture
def shared_swapping_store(both_kind: Kind, disk: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    return _opened(both_kind, disk, monkeypatch)


def _opened(kind: Kind, disk: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty one."""
    for name, value in kind.environment.items():
        monkeypatch.setenv(name, value)
    new = f"{uuid.uuid4().hex}/{_NAME}"
    if kind.base:
        return open_store(f"{kind.base}/{quote(new) if kind.name == 'webhdfs' else new}")
    if kind.name == "memory":
        return open_store(f"memory:{new}")
    if kind.name == "files by name":  # as on a file system that has no unnamed files
        monkeypatch.setattr(files, "_unnamed_file", lambda folder: None)
    return open_store(disk / new)


def test_what_was_put_is_got(store: Store) -> None:
    version = store.put("a/b", b"one")
    blob = store.get("a/b")
    assert (blob.content, blob.version) == (b"one", version)
    assert open_store(store.uri).get("a/b").content == b"one"


def test_a_view_can_be_put(store: Store) -> None:
    store.put("a", memoryview(b"xonex")[1:4])
    assert store.get("a").content == b"one"


def test_an_empty_value_is_a_value(store: Store) -> None:
    store.put("empty", b"")
    assert store.get("empty").content == b""
    assert store.list() == ["empty"]


def test_a_put_replaces(store: Store) -> None:
    before = store.put("a", b"one")
    after = store.put("a", b"two")
    assert store.get("a").content == b"two"
    assert before != after


def test_what_is_absent_is_not_found(store: Store) -> None:
    for ask in (
        lambda: store.get("a"),
        lambda: store.get_ranges("a", [(0, 1)]),
        lambda: store.swap("a", b"", '"1"'),
    ):
        with pytest.raises(NotFound, match="a"):
            ask()
    store.delete("a")
    assert store.list() == []


def test_put_if_absent_loses_to_what_is_there(store: Store) -> None:
    store.put("a", b"one", if_absent=True)
    with pytest.raises(AlreadyExists):
        store.put("a", b"two", if_absent=True)
    assert store.get("a").content == b"one"


def test_swap_needs_the_present_version(swapping_store: Store) -> None:
    store = swapping_store
    assert store.abilities.swap
    first = store.put("a", b"one")
    second = store.swap("a", b"two", first)
    with pytest.raises(VersionConflict):
        store.swap("a", b"three", first)
    assert store.get("a") == (b"two", second)
    store.put("a", b"four")
    with pytest.raises(VersionConflict):
        store.swap("a", b"five", second)


def test_a_store_that_cannot_swap_says_so(store: Store) -> None:
    version = store.put("a", b"one")
    with contextlib.nullcontext() if store.abilities.swap else pytest.raises(StoreError, match="no compare-and-swap"):
        store.swap("a", b"two", version)
    assert store.get("a").content == (b"two" if store.abilities.swap else b"one")


def test_many_ranges_of_a_long_value_come_in_the_order_asked_for(store: Store) -> None:
    """Far and near ones, twice and overlapping, so that some are read as one and some are not."""
    content = os.urandom(5 << 20)
    store.put("a", content)
    ranges = [(start, start + 1000) for start in (4_000_000, 0, 1000, 1500, 3_999_500, 0, len(content) - 1000)]
    assert store.get_ranges("a", ranges) == [content[start:stop] for start, stop in ranges]
    assert store.get_ranges("a", []) == []


def test_a_name_may_have_any_letters(store: Store) -> None:
    keys = ["50%", "a b", "a#b?c=d&e", "a%20b", "ünï/ç", "~+=,;@!$'()"]
    for key in keys:
        store.put(key, key.encode())
    assert store.list() == sorted(keys)
    assert [store.get(key).content for key in keys] == [key.encode() for key in keys]


def test_ranges_are_half_open_and_bounded(store: Store) -> None:
    store.put("a", b"0123456789")
    assert store.get_ranges("a", [(0, 3), (9, 10), (4, 4)]) == [b"012", b"9", b""]
    for wrong in ((8, 11), (20, 21)):
        with pytest.raises(StoreError):
            store.get_ranges("a", [wrong])


def test_keys_are_listed_by_prefix_in_order(store: Store) -> None:
    for key in ("b/two", "b/one", "bb", "a", "b/c/d"):
        store.put(key, b"")
    assert store.list() == ["a", "b/c/d", "b/one", "b/two", "bb"]
    assert store.list("b/") == ["b/c/d", "b/one", "b/two"]
    assert store.list("b") == ["b/c/d", "b/one", "b/two", "bb"]
    assert store.list("b/o") == ["b/one"]
    assert store.list("none/") == []


def test_what_is_deleted_is_gone(store: Store) -> None:
    store.put("a/b", b"one")
    store.delete("a/b")
    store.delete("a/b")
    assert store.list() == []


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "../a", "a/../b", ".", "a\0b", "a/.tmp-1"])
def test_a_key_that_is_no_plain_name_is_refused(store: Store, key: str) -> None:
    for ask in (lambda: store.get(key), lambda: store.put(key, b""), lambda: store.delete(key)):
        with pytest.raises(UsageError, match="key"):
            ask()


def test_a_prefix_cannot_climb_out(store: Store) -> None:
    with pytest.raises(UsageError, match="climb"):
        store.list("../")


def test_one_of_many_threads_wins_put_if_absent(store: Store) -> None:
    winners, start = [], threading.Barrier(8)

    def put(number: int) -> None:
        start.wait(10)
        try:
            store.put("a", b"%d" % number * 10_000, if_absent=True)
        except AlreadyExists:
            return
        winners.append(number)

    _all_at_once(put, 8)
    (winner,) = winners
    assert store.get("a").content == b"%d" % winner * 10_000


def test_no_swap_of_many_threads_is_lost(swapping_store: Store) -> None:
    store = swapping_store
    store.put("count", b"0")
    start = threading.Barrier(4)

    def add(number: int) -> None:
        start.wait(10)
        for _ in range(5):
            while True:
                content, version = store.get("count")
                try:
                    store.swap("count", b"%d" % (int(content) + 1), version)
                    break
                except VersionConflict:
                    continue

    _all_at_once(add, 4)
    assert store.get("count").content == b"20"


def test_puts_of_many_threads_leave_one_whole_value(store: Store) -> None:
    start = threading.Barrier(6)

    def put(number: int) -> None:
        start.wait(10)
        for _ in range(5):
            store.put("a", b"%d" % number * 10_000)

    _all_at_once(put, 6)
    content = store.get("a").content
    assert len(content) == 10_000
    assert len(set(content)) == 1
    assert store.list() == ["a"]


def _all_at_once(call: Callable[[int], None], number: int) -> None:
    errors: list[BaseException] = []

    def guarded(each: int) -> None:
        try:
            call(each)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(each,)) for each in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []


_RIVAL = """
import sys
from pileus.errors import AlreadyExists
from pileus.store import open_store
store, number = open_store(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
try:
    store.put("a", number.encode() * 100_000, if_absent=True)
except AlreadyExists:
    sys.exit(7)
"""


def _begun(program: str, *arguments: str) -> subprocess.Popen[bytes]:
    """A process of Python that has said that it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(_SRC)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def _ended(processes: Sequence[subprocess.Popen[bytes]]) -> list[int]:
    """Let them go on, and wait for their exit codes."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=30)
    return [process.returncode for process in processes]


def test_one_of_many_processes_wins_put_if_absent(shared_store: Store) -> None:
    codes = _ended([_begun(_RIVAL, shared_store.uri, str(each)) for each in range(4)])
    assert sorted(codes) == [0, 7, 7, 7]
    assert shared_store.get("a").content == b"%d" % codes.index(0) * 100_000
    assert shared_store.list() == ["a"]


_ADDER = """
import sys
from pileus.errors import VersionConflict
from pileus.store import open_store
store = open_store(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for _ in range(5):
    while True:
        content, version = store.get("count")
        try:
            store.swap("count", b"%d" % (int(content) + 1), version)
            break
        except VersionConflict:
            pass
"""


def test_no_swap_of_many_processes_is_lost(shared_swapping_store: Store) -> None:
    store = shared_swapping_store
    store.put("count", b"0")
    assert _ended([_begun(_ADDER, store.uri) for _ in range(3)]) == [0, 0, 0]
    assert store.get("count").content == b"15"


_ENDLESS_WRITER = """
import sys
from pileus.store import open_store
store = open_store(sys.argv[1])
print("ready", flush=True)
number = 0
while True:
    number = (number + 1) % 10
    store.put("a", b"%d" % number * 4_000_000)
    store.put("n/" + str(number), b"%d" % number * 1_000_000)
"""


@pytest.mark.parametrize("written", [1, 2, 3])
def test_a_killed_writer_leaves_only_whole_values(shared_store: Store, written: int) -> None:
    """The writer is killed at a point that it cannot choose: whenever `written` values of its own have been seen."""
    store = shared_store
    with _begun(_ENDLESS_WRITER, store.uri) as writer:
        while len(store.list("n/")) < written:
            assert writer.poll() is None
        writer.send_signal(signal.SIGKILL)
    for key in store.list():
        content = store.get(key).content
        assert len(content) == (4_000_000 if key == "a" else 1_000_000)
        assert len(set(content)) == 1
    assert store.put("a", b"next") == store.get("a").version


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "pileus-test", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_told_and_keeps_what_was_there(small_disk: Path) -> None:
    store = open_store(small_disk)
    store.put("a", b"1" * 600_000)
    for key in ("a", "b"):
        with pytest.raises(StoreError, match="disk is full; free space"):
            store.put(key, b"2" * 600_000)
    assert store.list() == ["a"]
    assert store.get("a").content == b"1" * 600_000
    assert [path.name for path in small_disk.iterdir()] == ["a"]


def test_a_read_only_place_is_told(small_disk: Path) -> None:
    store = open_store(small_disk)
    version = store.put("a", b"one")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    asks: list[Callable[[], str]] = [
        lambda: store.put("b", b""),
        lambda: store.put("a", b""),
        lambda: store.swap("a", b"", version),
    ]
    for ask in asks:
        with pytest.raises(StoreError, match="read-only; choose another place"):
            ask()
    assert store.get("a").content == b"one"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write where permission is denied")
def test_denied_permission_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StoreError, match="permission denied"):
            open_store(tmp_path).put("a", b"")
    finally:
        tmp_path.chmod(0o700)


def test_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = open_store(tmp_path / "file")
    asks: list[Callable[[], object]] = [lambda: store.put("a", b""), lambda: store.get("a"), store.list]
    for ask in asks:
        with pytest.raises(StoreError):
            ask()


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(UsageError, match="gopher"):
        open_store("gopher:place")
