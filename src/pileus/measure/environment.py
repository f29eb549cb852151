"""A machine and its libraries as plain facts: written beside every run and every measurement.

Nothing here names a host, a user or a secret; torch is not imported.
"""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from pileus.machine import Cores, count_cores, count_memory, read_text
from pileus.spec.values import Spec

LIBRARIES = (
    "pileus",
    "numpy",
    "pillow",
    "msgspec",
    "google-crc32c",
    "blake3",
    "opencv-python-headless",
    "simplejpeg",
    "torch",
    "onnx",
    "onnxruntime",
    "scikit-learn",
    "httptools",
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
        memory_bytes=count_memory(root),
        gpus=list_gpus(),
        libraries=_installed_versions(LIBRARIES),
    )


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
    for line in read_text(root / "proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    name = fields.get("model name") or platform.processor() or platform.machine()
    return name, set((fields.get("flags") or fields.get("Features") or "").split())


def _installed_versions(names: Sequence[str]) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
