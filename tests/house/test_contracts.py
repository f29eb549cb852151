"""Import contracts on single modules: a third-party client stays in its adapter, members of a port stay apart.

The layers are in .importlinter, where `lint-imports` checks them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

import pytest

from tests.house.tree import Import, imports

EVERYWHERE = ("pileus",)
ADAPTERS = {
    "PIL": (
        "pileus.preprocessing.files",
        "pileus.preprocessing.strings",
        "pileus.preprocessing.writing",
        "pileus.measure.report",
    ),
    "blake3": ("pileus.records.hashing",),
    "botocore": ("pileus.store.cloud",),
    "cv2": ("pileus.preprocessing.geometry",),
    "dask": ("pileus.engines.dask",),
    "distributed": ("pileus.engines.dask",),
    "google_crc32c": ("pileus.records", "pileus.store.cache", "pileus.engines.processes.memory"),
    "httptools": ("pileus.serving.connection",),
    "jinja2": ("pileus.measure.report",),
    "markupsafe": ("pileus.measure.report",),
    "matplotlib": (
        "pileus.measure.figures",
        "pileus.measure.usage",
        "pileus.bench.reading.plots",
        "pileus.bench.training.plots",
        "pileus.bench.serving.plots",
        "pileus.bench.engines.plots",
    ),
    "msgspec": EVERYWHERE,
    "numpy": EVERYWHERE,
    "obstore": ("pileus.store.cloud", "pileus.store.objects", "pileus.store.web"),
    "onnx": ("pileus.bundles.export", "pileus.bundles.neighbours", "pileus.bundles.weights", "pileus.measure.graph"),
    "onnxruntime": ("pileus.bundles.predictor",),
    "onnxscript": ("pileus.bundles.export",),
    "opentelemetry": ("pileus.serving.telemetry",),
    "psutil": ("pileus.bench.serving.sampling", "pileus.bench.engines.network", "pileus.engines.meter"),
    "py4j": ("pileus.engines.spark",),
    "pyspark": ("pileus.engines.spark",),
    "ray": ("pileus.engines.ray",),
    "rich": ("pileus.cli",),
    "safetensors": ("pileus.training.checkpoint",),
    "scipy": ("pileus.bench.reading.regression",),
    "simplejpeg": ("pileus.preprocessing.photographs",),
    "sklearn": ("pileus.data.sources.digits",),
    "tensorboardX": ("pileus.measure.tensorboard",),
    "torch": ("pileus.training", "pileus.models", "pileus.operations", "pileus.bundles.export"),
    "urllib3": ("pileus.store.webhdfs",),
    "uvloop": ("pileus.serving.front",),
}
"""By library: the packages and modules that may import it. A new line is a new dependency and wants a reason."""

PORTS = ("pileus.engines", "pileus.streams", "pileus.training.strategies")
"""Rooms of members that know nothing of one another."""
SHARED = ("ports", "connect", "make", "processes", "hosts", "places", "tasks", "meter")
"""Modules of such a room that belong to no member: its port, what finds a member by its name, what members share."""


def ours() -> Iterable[Import]:
    return (found for found in imports() if found.importer.partition(".")[0] == "pileus")


def within(module: str, packages: Sequence[str]) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


def test_a_third_party_library_is_imported_in_its_adapter_only() -> None:
    strays = [
        f"{found.importer}:{found.line} imports {library}"
        for found in ours()
        if (library := found.imported.partition(".")[0]) not in sys.stdlib_module_names | {"pileus"}
        and not within(found.importer, ADAPTERS.get(library, ()))
    ]
    assert not strays, "import it in its adapter alone, or give it a line in ADAPTERS"


@pytest.mark.parametrize("room", PORTS)
def test_members_of_a_port_know_nothing_of_one_another(room: str) -> None:
    def member(module: str) -> str | None:
        return module.split(".")[room.count(".") + 1] if module.startswith(room + ".") else None

    meetings = [
        f"{found.importer}:{found.line} imports {found.imported}"
        for found in ours()
        if (importer := member(found.importer)) not in (None, *SHARED)
        and member(found.imported) not in (None, importer, *SHARED)
    ]
    assert not meetings, f"what members of {room} share belongs below them or in its ports"


def test_only_export_in_bundles_knows_of_export() -> None:
    strays = [f for f in ours() if f.imported == "pileus.bundles.export" and f.importer.startswith("pileus.bundles")]
    assert not strays, "loading a bundle must need no torch"
