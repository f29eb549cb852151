"""One suite for `map` of every engine: what writing records, and whatever else runs on workers, rests on."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing.resource_tracker
import os
import secrets
import signal
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from pileus.engines import connect
from pileus.engines.ports import Engine
from pileus.errors import MissingExtra, SourceError, UsageError, WorkFailed

ENGINES = ["fake", "local"]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    chosen = connect(str(request.param))
    yield chosen
    chosen.close()


@pytest.fixture
def processes(engine: Engine) -> Engine:
    """An engine whose workers can be killed."""
    if not engine.capabilities.processes:
        pytest.skip(f"the {engine.name} engine maps in this process, which a test cannot kill or freeze")
    return engine


def children() -> set[psutil.Process]:
    """But the one that multiprocessing keeps for itself until the end."""
    tracker = multiprocessing.resource_tracker._resource_tracker._pid  # type: ignore[attr-defined]
    return {process for process in psutil.Process().children(recursive=True) if process.pid != tracker}


def halved(number: int) -> float:
    return number / 2


def divided(dividend: int, divisor: int) -> float:
    return dividend / divisor


def refuse_three(number: int) -> int:
    if number == 3:
        raise SourceError(f"item {number} cannot be used")
    return number


def lacking(number: int) -> int:
    raise MissingExtra("this", "that", "train")


class Pictorial(Exception):  # noqa: N818
    """Comes out of no pickle."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


def unlucky(number: int) -> int:
    raise Pictorial("bad", "luck")


def unsendable(number: int) -> object:
    return threading.Lock()


def meet(folder: Path, number: int) -> int:
    """Ends once the other item has begun: a pipe opens when both its ends do."""
    with (folder / "pipe").open("rb" if number else "wb"):
        return number


def killed_at_two(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def stuck(number: int) -> int:
    threading.Event().wait()
    return number


class Opened:
    """Leaves a file wherever it comes out of a pickle."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __setstate__(self, state: dict[str, Path]) -> None:
        self.__dict__.update(state)
        (self.folder / secrets.token_hex(8)).touch()


def used(opened: Opened, number: int) -> int:
    return number


def test_results_come_in_the_order_of_the_items(engine: Engine) -> None:
    assert list(engine.map(halved, range(30), workers=3)) == [number / 2 for number in range(30)]
    assert list(engine.map(partial(divided, divisor=4), [2, 1], workers=8)) == [0.5, 0.25]
    assert list(engine.map(halved, [], workers=2)) == []


def test_items_are_taken_as_they_are_needed(engine: Engine) -> None:
    taken = []

    def numbers() -> Iterator[int]:
        for number in itertools.count():
            taken.append(number)
            yield number

    before = children()
    results = engine.map(halved, numbers(), workers=2)
    assert (taken, children()) == ([], before)
    assert list(itertools.islice(results, 10)) == [number / 2 for number in range(10)]
    results.close()
    assert len(taken) <= 10 + 2 * 2
    assert children() == before


def test_the_first_item_that_raises_ends_the_map_as_what_it_raised(engine: Engine) -> None:
    results = engine.map(refuse_three, itertools.count(), workers=2)
    assert list(itertools.islice(results, 3)) == [0, 1, 2]
    with pytest.raises(SourceError, match="item 3 cannot be used"):
        next(results)


def test_errors_keep_their_kind(engine: Engine) -> None:
    with pytest.raises(MissingExtra, match=r"pip install 'pileus\[train\]'") as caught:
        list(engine.map(lacking, range(1), workers=1))
    assert caught.value.extra == "train"
    with pytest.raises(ZeroDivisionError):
        list(engine.map(partial(divided, divisor=0), range(1), workers=1))
    with pytest.raises((Pictorial, WorkFailed), match="bad luck"):
        list(engine.map(unlucky, range(1), workers=1))


def test_what_does_not_pickle_is_told_on_every_engine(engine: Engine) -> None:
    for results in (
        engine.map(unsendable, range(1), workers=1),
        engine.map(str, [threading.Lock()], workers=1),
        engine.map(lambda number: number, range(1), workers=1),
    ):
        with pytest.raises(Exception, match="pickle"):
            list(results)


@pytest.mark.parametrize("keep", [True, False])
def test_a_kept_call_is_opened_once_by_each_worker(engine: Engine, keep: bool, tmp_path: Path) -> None:
    results = engine.map(partial(used, Opened(tmp_path)), range(6), workers=1, keep=keep)
    assert list(results) == list(range(6))
    num_opened = len(list(tmp_path.iterdir()))
    assert num_opened < 6 if keep else num_opened >= 6


def test_a_call_that_does_not_come_out_of_its_pickle_is_told(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        list(engine.map(partial(used, Opened(tmp_path / "nowhere")), range(2), workers=1, keep=True))


def test_no_worker_at_all_is_refused(engine: Engine) -> None:
    with pytest.raises(UsageError, match="workers must be at least 1"):
        list(engine.map(halved, range(3), workers=0))


def test_workers_run_at_the_same_time(processes: Engine, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert list(processes.map(partial(meet, tmp_path), range(2), workers=2, deadline_s=60)) == [0, 1]


def test_a_killed_worker_is_named(processes: Engine) -> None:
    results = processes.map(killed_at_two, itertools.count(), workers=1)
    assert list(itertools.islice(results, 2)) == [0, 1]
    with pytest.raises(WorkFailed, match=r"at item 2 (was killed by SIGKILL|died).*fewer workers"):
        next(results)


def test_a_stuck_worker_is_named_at_its_deadline(processes: Engine) -> None:
    with pytest.raises(WorkFailed, match=r"at item 0 did not end within 0\.5 s"):
        list(processes.map(stuck, range(2), workers=2, deadline_s=0.5))


def test_an_interrupted_map_leaves_no_process(processes: Engine) -> None:
    before = children()
    with pytest.raises(KeyboardInterrupt), contextlib.closing(processes.map(halved, range(99), workers=2)) as results:
        next(results)
        assert children() - before
        raise KeyboardInterrupt
    assert children() == before
