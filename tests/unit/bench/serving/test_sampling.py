"""Processes are seen from outside; what they use between two moments is read between the looks beside them."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest

from pileus.bench.serving.sampling import Sample, Sampler, growth, look, used


def sample(at: float, cpu_s: float, rss_bytes: int = 100) -> Sample:
    return Sample(at=at, cpu_s=cpu_s, rss_bytes=rss_bytes, descriptors=3, threads=1, processes=1)


def test_cores_and_memory_of_a_span() -> None:
    seen = [sample(0.0, 1.0), sample(1.0, 2.0, 300), sample(2.0, 4.0, 200)]
    found = used(seen, 0.5, 1.0)
    assert found is not None
    assert (found.cores, found.rss_bytes) == (1.5, 300)
    assert used(seen[:1], 0.0, 1.0) is None


def test_growth_is_a_share_of_the_mean() -> None:
    assert growth([sample(float(at), 0.0, 100 + at) for at in range(11)], lambda each: each.rss_bytes) == pytest.approx(
        10 / 105
    )
    assert growth([sample(0.0, 0.0)], lambda each: each.rss_bytes) == 0.0


def test_a_process_and_its_children_are_seen() -> None:
    with Sampler(os.getpid(), every_s=0.01) as sampler:
        child = subprocess.run([sys.executable, "-c", "sum(range(1000000))"], check=True)
    assert child.returncode == 0
    first, last = sampler.samples[0], sampler.samples[-1]
    assert last.cpu_s >= first.cpu_s > 0
    assert first.rss_bytes > 1e6 and first.threads >= 1 and first.descriptors > 0


def test_a_process_that_is_gone_is_nothing() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = psutil.Process(child.pid)
    assert look(process) is not None
    child.communicate()
    assert look(process) is None
