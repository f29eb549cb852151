"""What was kept whole is found again, also when the next write was cut short."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from pileus.engines.processes.memory import Memory


@pytest.fixture
def memory() -> Iterator[Memory]:
    made = Memory.new()
    yield made
    made.close()


def test_nothing_is_kept_at_first(memory: Memory) -> None:
    assert memory.kept() is None


@pytest.mark.parametrize("sizes", [(10, 20, 5), (0, 1, 0), (5000, 1, 9000)])
def test_the_newest_is_found(memory: Memory, sizes: tuple[int, ...]) -> None:
    for number, size in enumerate(sizes):
        content = bytes([number]) * size
        memory.keep([memoryview(content[:3]), memoryview(content[3:])])
        assert memory.kept() == content


def test_a_torn_write_leaves_the_one_before(memory: Memory) -> None:
    memory.keep([memoryview(b"first")])
    memory.keep([memoryview(b"second")])
    newest = max(memory.descriptors, key=lambda each: os.pread(each, 8, 0)[0])
    os.pwrite(newest, b"X", 64)
    assert memory.kept() == b"first"


def test_another_process_sees_it(memory: Memory) -> None:
    memory.keep([memoryview(b"told")])
    copies = os.dup(memory.descriptors[0]), os.dup(memory.descriptors[1])
    other = Memory(copies)
    assert other.kept() == b"told"
    other.close()
