"""Importing has no effects: no thread, process, port, file or changed environment, and no torch for serving.

One new interpreter imports every third-party library that Pileus uses, notes what is there, then imports every
module of Pileus and compares: what other libraries do at import is theirs. Engines whose library is not installed are
left out; the service tests install them all.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from pileus.engines.connect import PLACING
from tests.house.tree import imports, modules

_WATCH = """
import importlib, json, os, pathlib, signal, sys, threading, warnings
import psutil

def state():
    this = psutil.Process()
    return {
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "processes": sorted(child.pid for child in this.children()),
        "sockets": sorted(str(each.laddr) for each in this.net_connections("all")),
        "environment": sorted(os.environ.items()),
        "files here": sorted(os.listdir(".")),
        "temporary files": sorted(os.listdir(os.environ["TMPDIR"])),
        "folder": os.getcwd(),
        "signals": [str(signal.getsignal(each)) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)],
        "import path": list(sys.path),
    }

libraries, ours = json.loads(sys.argv[1])
for name in libraries:
    importlib.import_module(name)
before = state()
for name in ours:
    importlib.import_module(name)
after = state()
print(json.dumps({key: [before[key], after[key]] for key in before if before[key] != after[key]}))
"""

_WHO_IMPORTS_TORCH = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
    if "torch" in sys.modules:
        sys.exit(print(name))
"""


def run(code: str, *arguments: str, folder: Path) -> str:
    environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1", TMPDIR=str(folder / "temporary"))
    (folder / "temporary").mkdir()
    ended = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    return ended.stdout


def test_no_import_has_effects(tmp_path: Path) -> None:
    ours = [module.name for module in modules() if module.name.partition(".")[0] == "pileus"]
    ours.remove("pileus.__main__")
    absent = tuple(f"pileus.engines.{name}" for name, placing in PLACING.items() if not find_spec(placing.library))
    ours = [name for name in ours if not name.startswith(absent)]
    libraries = {found.imported for found in imports() if found.importer in ours}
    foreign = sorted(name for name in libraries if name.partition(".")[0] not in ("pileus", "__future__"))
    assert json.loads(run(_WATCH, json.dumps([foreign, ours]), folder=tmp_path)) == {}


def test_what_serves_and_what_reads_imports_no_torch(tmp_path: Path) -> None:
    rooms = ("serving", "bundles", "data", "preprocessing", "records", "store", "spec", "recipes")
    commands = ("cluster", "data", "doctor", "evaluate", "predict", "runs", "serve")
    wanted = [
        module.name
        for module in modules()
        if module.path.parts[:2] == ("src", "pileus")
        and module.path.parts[2] in rooms
        and module.name != "pileus.bundles.export"
    ]
    wanted += ["pileus", "pileus.api.reading", "pileus.cli.main", *(f"pileus.cli.commands.{name}" for name in commands)]
    assert run(_WHO_IMPORTS_TORCH, *wanted, folder=tmp_path).split() == []
