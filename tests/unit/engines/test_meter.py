from __future__ import annotations

import os
import sys
import time

import pytest

from pileus.engines.fake import FakeEngine
from pileus.engines.meter import MeasuredEngine, Watch, open_meter
from pileus.spec.usage import Look, Watched

_MOST_SHARE = 0.01
"""Of a core, that looking may take at one look a second."""


def test_a_look_sees_what_this_process_does() -> None:
    meter = open_meter()
    assert meter is not None
    before, block = meter.look(), bytearray(64 << 20)
    until = time.process_time() + 0.05
    while time.process_time() < until:
        block[::4096] = bytes(len(block) // 4096)
    after = meter.look()
    assert before is not None
    assert after is not None
    assert after.cpu_s - before.cpu_s >= 0.04
    assert after.memory_bytes - before.memory_bytes >= 48 << 20
    assert after.at_s >= before.at_s
    assert after.host_cpu_s >= before.host_cpu_s
    assert after.host_memory_bytes > 0


def test_a_look_takes_less_than_a_hundredth_of_a_second() -> None:
    meter = open_meter()
    assert meter is not None
    began, num = time.process_time(), 20
    for _ in range(num):
        meter.look()
    assert (time.process_time() - began) / num < _MOST_SHARE


def test_without_psutil_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert open_meter() is None
    with Watch() as watch:
        pass
    assert watch.watched() is None


def test_a_system_that_does_not_tell_hurts_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = open_meter()
    assert meter is not None
    asked = []

    def refused() -> Look:
        asked.append(1)
        raise PermissionError("not here")

    monkeypatch.setattr(meter, "_look", refused)
    assert (meter.look(), meter.look(), len(asked)) == (None, None, 1)


def doubled(number: int) -> int:
    return 2 * number


def test_workers_of_a_map_are_watched_at_each_item() -> None:
    noted: list[Watched] = []
    engine = MeasuredEngine(FakeEngine(), noted.append)
    assert list(engine.map(doubled, range(3), workers=1)) == [0, 2, 4]
    assert len(noted) == 3
    for watched in noted:
        assert watched.worker == f"{watched.host} process {os.getpid()}"
        assert len(watched.looks) == 2
