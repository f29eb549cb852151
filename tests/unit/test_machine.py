"""What else a machine gives is tested with the record of it, in measure/test_environment.py."""

from __future__ import annotations

import subprocess
import sys

import pytest

PAGES = 4096
FAULTS = f"""
import resource
import numpy as np
from pileus.machine import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        step = [np.ones({PAGES // 8} * resource.getpagesize(), np.uint8) for _ in range(8)]
        del step
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults(), keep_freed_memory(), faults())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator is told, where there is glibc")
def test_freed_memory_is_kept_for_what_comes_next() -> None:
    """In a process of its own, as it holds for a process to its end."""
    told = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, timeout=60, check=True).stdout
    before, kept, after = told.split()
    if kept == "False":
        pytest.skip("this C library has no mallopt")
    assert int(before) > 5 * PAGES, "the test asks for nothing: memory is kept without it"
    assert int(after) <= 2 * PAGES
