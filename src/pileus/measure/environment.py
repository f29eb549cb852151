"""What a machine gives to this process, as plain facts: written beside every run and every measurement.

Cores are counted as the process may use them (affinity and the control group's quota), since a container's
`cpu_count` is that of its host. Nothing here names a host, a user or a secret; torch is not imported.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from pileus.spec.values import Spec

LIBRARIES = (
    "pileus",
    "numpy",
    "pillow",
    "msgspec",
    "google-crc32c",
    "torch",
    "onnx",
    "onnxruntime",
    "scikit-learn",
    "uvicorn",
)
"""Distributions whose version can change a result or a speed."""

_CAPABILITIES = {
    "avx2": {"avx2"},
    "avx512": {"avx512f"},
    "vnni": {"avx512_vnni", "avx_vnni"},
    "bf16": {"avx512_bf16", "bf16"},
    "amx": {"amx_tile"},
    "neon": {"neon", "asimd"},
}
"""Our name for an ability, and the flags of /proc/cpuinfo of which any one shows it."""

_GPU_DEADLINE_S = 10.0
_UNLIMITED_BYTES = 1 << 60


class Cores(Spec, frozen=True, kw_only=True):
    """How many processor cores there are, and how many of them this process may keep busy."""

    machine: int
    affinity: int
    """Cores that the scheduler may put this process on."""
    quota: float | None
    """Core-seconds a second by the control group; None without a limit."""

    @property
    def usable(self) -> int:
        """Worker processes or threads that can run at the same time; at least 1."""
        return max(1, self.affinity if self.quota is None else min(self.affinity, int(self.quota)))


class Gpu(Spec, frozen=True, kw_only=True):
    name: str
    memory_bytes: int
    driver: str


class Environment(Spec, frozen=True, kw_only=True):
    """The machine and the libraries as a process finds them."""

    python: str
    implementation: str
    system: str
    """Kernel name, release and architecture."""
    processor: str
    capabilities: tuple[str, ...]
    """Those of avx2, avx512, vnni, bf16, amx, neon that the processor has."""
    cores: Cores
    memory_bytes: int | None
    """What this process may use: the machine's, or the control group's limit where lower."""
    gpus: tuple[Gpu, ...]
    libraries: dict[str, str]
    """Versions of those of LIBRARIES that are installed."""


def describe_environment(root: Path = Path("/")) -> Environment:
    """Read it all; what cannot be found out is empty or None. `root` holds `proc` and `sys`."""
    processor, flags = _read_processor(root)
    return Environment(
        python=platform.python_version(),
        implementation=platform.python_implementation(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        processor=processor,
        capabilities=tuple(name for name, any_of in _CAPABILITIES.items() if any_of & flags),
        cores=count_cores(root),
        memory_bytes=_count_memory(root),
        gpus=list_gpus(),
        libraries=_installed_versions(LIBRARIES),
    )


def count_cores(root: Path = Path("/")) -> Cores:
    """Cores of the machine, of the affinity mask and of the control group's quota."""
    machine = os.cpu_count() or 1
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else machine
    return Cores(machine=machine, affinity=affinity, quota=_read_quota(root))


def list_gpus() -> tuple[Gpu, ...]:
    """NVIDIA devices as the driver's own tool names them; none where it is absent, fails or is silent."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    query = [tool, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=_GPU_DEADLINE_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    return parse_gpus(answer.stdout)


def parse_gpus(listing: str) -> tuple[Gpu, ...]:
    """From lines `name, memory in MiB, driver`; a line of another shape is passed over."""
    rows = ([part.strip() for part in line.split(",")] for line in listing.splitlines())
    return tuple(
        Gpu(name=row[0], memory_bytes=int(row[1]) << 20, driver=row[2])
        for row in rows
        if len(row) == 3 and row[1].isdigit()
    )


def _read_processor(root: Path) -> tuple[str, set[str]]:
    """(model name, flags); x86 says `model name` and `flags`, ARM says `Features` and no name."""
    fields: dict[str, str] = {}
    for line in _text(root / "proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    name = fields.get("model name") or platform.processor() or platform.machine()
    return name, set((fields.get("flags") or fields.get("Features") or "").split())


def _read_quota(root: Path) -> float | None:
    """The tightest quota from this process's control group up to the root, in cores."""
    quotas = []
    for folder in _group_folders(root, "cpu"):
        words = _text(folder / "cpu.max").split()
        if not words:
            words = [_text(folder / "cpu.cfs_quota_us").strip(), _text(folder / "cpu.cfs_period_us").strip()]
        if len(words) == 2 and words[0].isdigit() and words[1].isdigit() and int(words[1]):
            quotas.append(int(words[0]) / int(words[1]))
    return min(quotas, default=None)


def _count_memory(root: Path) -> int | None:
    limits = []
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            limits.append(int(line.split()[1]) * 1024)
    for folder in _group_folders(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = _text(folder / name).strip()
            if text.isdigit() and int(text) < _UNLIMITED_BYTES:
                limits.append(int(text))
    return min(limits, default=None)


def _group_folders(root: Path, controller: str) -> Iterator[Path]:
    """The folders that can limit this process, own group first, by versions 2 and 1 of control groups.

    In a container the group's path may name a place outside of the mount; then only the mount's root is left.
    """
    base = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if names and controller not in names.split(","):
            continue
        mount = base / controller if names else base
        folder = mount / path.strip().lstrip("/")
        while folder != mount:
            yield folder
            folder = folder.parent
        yield mount


def _installed_versions(names: Sequence[str]) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
