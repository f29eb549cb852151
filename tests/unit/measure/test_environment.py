"""The facts about a machine, read from trees like those of /proc and /sys."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from pileus.machine import Cores, count_cores, has_bf16
from pileus.measure import environment
from pileus.measure.environment import Environment, Gpu, describe_environment, parse_gpus

X86 = "processor\t: 0\nmodel name\t: Some Processor\nflags\t\t: sse avx2 avx512f avx512_vnni amx_tile\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd bf16\n"


def write(root: Path, path: str, content: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(content)


@pytest.mark.parametrize(
    ("cpuinfo", "processor", "capabilities"),
    [
        (X86, "Some Processor", ("avx2", "avx512", "vnni", "amx")),
        (ARM, None, ("bf16", "neon")),
        ("", None, ()),
    ],
)
def test_processor(
    cpuinfo: str,
    processor: str | None,
    capabilities: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(environment, "list_gpus", tuple)
    write(tmp_path, "proc/cpuinfo", cpuinfo)
    described = describe_environment(tmp_path)
    assert described.capabilities == capabilities
    assert processor is None or described.processor == processor


def test_quota_of_version_2_is_the_tightest_on_the_way_up(tmp_path: Path) -> None:
    write(tmp_path, "proc/self/cgroup", "0::/jobs/one\n")
    write(tmp_path, "sys/fs/cgroup/jobs/one/cpu.max", "400000 100000\n")
    write(tmp_path, "sys/fs/cgroup/jobs/cpu.max", "150000 100000\n")
    write(tmp_path, "sys/fs/cgroup/cpu.max", "max 100000\n")
    assert count_cores(tmp_path).quota == 1.5


def test_quota_of_version_1_in_a_container_whose_group_lies_outside_of_the_mount(tmp_path: Path) -> None:
    write(tmp_path, "proc/self/cgroup", "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n")
    write(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n")
    write(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")
    assert count_cores(tmp_path).quota == 0.5


def test_no_quota(tmp_path: Path) -> None:
    write(tmp_path, "proc/self/cgroup", "3:cpu:/\n")
    write(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n")
    write(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")
    assert count_cores(tmp_path).quota is None


@pytest.mark.parametrize(
    ("affinity", "quota", "usable"), [(8, None, 8), (8, 2.0, 2), (8, 2.9, 2), (2, 6.0, 2), (4, 0.5, 1)]
)
def test_usable_cores(affinity: int, quota: float | None, usable: int) -> None:
    assert Cores(machine=16, affinity=affinity, quota=quota).usable == usable


def test_affinity_is_that_of_this_process() -> None:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert count_cores().affinity == 1
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize(
    ("limit_file", "limit", "expected"),
    [
        ("memory/job/memory.limit_in_bytes", "1048576", 1048576),
        ("memory/memory.limit_in_bytes", "9223372036854771712", 2048 * 1024),
        ("memory/job/memory.max", "max", 2048 * 1024),
    ],
)
def test_memory_is_the_lower_of_machine_and_group(
    limit_file: str, limit: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "list_gpus", tuple)
    write(tmp_path, "proc/meminfo", "MemTotal:       2048 kB\nMemFree: 1 kB\n")
    write(tmp_path, "proc/self/cgroup", "4:memory:/job\n")
    write(tmp_path, f"sys/fs/cgroup/{limit_file}", limit)
    assert describe_environment(tmp_path).memory_bytes == expected


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("processor: 0\nflags\t\t: fpu avx512f avx512_bf16\n", True),
        ("flags : fpu avx512f\n", False),
        ("Features : fp asimd bf16\n", True),
        ("processor: 0\n", None),
    ],
)
def test_bf16_is_an_instruction_of_the_processor(told: str, expected: bool | None, tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "cpuinfo").write_text(told)
    assert has_bf16(tmp_path) is expected


def test_gpus_as_the_driver_lists_them() -> None:
    listing = "NVIDIA H200, 143771, 570.1\nNo devices were found\n"
    assert parse_gpus(listing) == (Gpu(name="NVIDIA H200", memory_bytes=143771 << 20, driver="570.1"),)


def test_a_driver_tool_that_fails_means_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho broken >&2\nexit 9\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert environment.list_gpus() == ()


def test_this_machine_is_described_without_names_of_host_or_user() -> None:
    described = describe_environment()
    text = msgspec.json.encode(described)
    assert msgspec.json.decode(text, type=Environment) == described
    assert socket.gethostname().encode() not in text
    assert len(getpass.getuser()) < 4 or getpass.getuser().encode() not in text
    assert described.cores.usable >= 1
    assert described.memory_bytes is None or described.memory_bytes > 1 << 28
    assert "numpy" in described.libraries


def test_describing_imports_no_torch() -> None:
    code = (
        "import sys; from pileus.measure.environment import describe_environment as d; d();"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
