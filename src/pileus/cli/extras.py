"""What each extra of the distribution brings and what its lack costs.

The libraries are read from the installed distribution's own metadata, so pyproject.toml stays the only list.
A command that cannot be imported is explained from here, and `pileus doctor` prints it.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Mapping

WITHOUT = {
    "read": "photographs are read at about half the speed, with the same bits",
    "train": "no training, evaluation, reports or embedded:digits",
    "serve": "no serving and no predictions",
    "s3": "no s3:, gs:, az:, http: and https: places",
    "ray": "no engine ray",
    "dask": "no engine dask",
    "spark": "no engine spark",
    "hdfs": "no webhdfs: places",
    "otel": "no traces of a server (`pileus serve --traces`)",
    "dev": "no tests, types or lint of a checkout",
}
"""By extra: what cannot be done where its libraries are missing."""

_REQUIREMENT = re.compile(r"""(?P<library>[\w.-]+).*extra == ['"](?P<extra>[\w-]+)['"]""")
_DISTRIBUTION_OF_MODULE = {
    "cv2": "opencv-python-headless",
    "importlinter": "import-linter",
    "opentelemetry": "opentelemetry-sdk",
    "sklearn": "scikit-learn",
}


def libraries_by_extra() -> Mapping[str, tuple[str, ...]]:
    """By extra, the distributions that it brings; empty where Pileus itself is not installed."""
    try:
        requirements = importlib.metadata.requires("pileus") or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    found: dict[str, list[str]] = {}
    for requirement in requirements:
        match = _REQUIREMENT.match(requirement)
        if match:
            found.setdefault(match["extra"], []).append(match["library"])
    return {extra: tuple(libraries) for extra, libraries in found.items()}


def is_installed(library: str) -> bool:
    try:
        importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def bringing(module: str) -> tuple[str, str] | None:
    """(library, extra) for the name of a module that could not be imported; None where no extra brings it."""
    top = module.partition(".")[0]
    library = _DISTRIBUTION_OF_MODULE.get(top, top)
    for extra, libraries in libraries_by_extra().items():
        if library in libraries:
            return library, extra
    return None
