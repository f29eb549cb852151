"""Cold starts, ours and theirs: a process of its own each, told apart by when the first step began and the weights were
there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
from training_peers.nets import accuracy, load, mnist_cnn
from training_peers.rounds import BENCHMARKS, Result

from engine_trainers.loop import TIMES, WEIGHTS

DEADLINE_S = 300.0
BESIDE = Path(__file__).parent / ".venv"
BATCH_SIZE, LR, MOMENTUM = 256, 0.1, 0.9
"""As the recipe has them."""
TOLD_FIRST, TOLD_TRAINED = "epoch 1/", "packing:"
"""How the lines begin that `pileus train` tells as the first epoch has ended and when the weights are there."""


class Work(NamedTuple):
    records: str
    arrays: Path
    """The same pictures, for the trainers."""
    scratch: Path
    workers: int
    epochs: int


def ours(work: Work, engine: str, number: int) -> Result:
    """`pileus train`, from the command on."""
    name = f"{engine}-{number}"
    place = ("--data", work.records, "--runs", work.scratch / "runs", "--name", name)
    gang = ("--engine", engine, "--workers", work.workers, "--set", f"epochs={work.epochs}", "--json")
    told, printed, began, ended = _watched(["-m", "pileus", "train", "mnist_cnn", *map(str, (*place, *gang))], {})
    done = json.loads(printed)
    folder = work.scratch / "runs" / name
    first = json.loads((folder / "metrics.jsonl").read_text().splitlines()[0])
    shutil.rmtree(folder)
    kept = {key: done[key] for key in ("accuracy", "fingerprint", "restarts")}
    start_s = _when(told, TOLD_FIRST) - first["seconds"] - began
    return kept | {"start_s": start_s, "total_s": _when(told, TOLD_TRAINED) - began, "command_s": ended - began}


def theirs(work: Work, module: str, own: dict[str, Any], number: int) -> Result:
    """A script of this package, from the command on; its weights are tested afterwards. `own`: settings of its own."""
    with tempfile.TemporaryDirectory(prefix="t-", dir=work.scratch) as folder:
        settings = own | {
            "arrays": str(work.arrays),
            "workers": work.workers,
            "epochs": work.epochs,
            "batch_size": BATCH_SIZE // work.workers,
            "lr": LR,
            "momentum": MOMENTUM,
            "folder": folder,
        }
        added = {"RAY_TMPDIR": folder, "SPARK_LOCAL_DIRS": folder, "BESIDE": str(BESIDE)}
        _, _, began, ended = _watched(["-m", f"engine_trainers.{module}", json.dumps(settings)], added)
        times = json.loads(Path(folder, TIMES).read_text())
        network = mnist_cnn()
        network.load_state_dict(torch.load(Path(folder, WEIGHTS), weights_only=True))
    reached = accuracy(network, load(str(work.arrays), "test", "mnist_cnn"))
    spent = {"start_s": times["first_step"] - began, "total_s": times["trained"] - began, "command_s": ended - began}
    return spent | {"accuracy": reached}


def lay_beside() -> None:
    """Have the libraries of `requirements.txt` where the trainers find them."""
    asked, complete = Path(__file__).parent / "requirements.txt", BESIDE / "complete"
    if not complete.exists() or complete.read_text() != asked.read_text():
        shutil.rmtree(BESIDE, ignore_errors=True)
        words = ["install", "-q", "--no-deps", "--target", BESIDE, "-r", asked]
        subprocess.run([sys.executable, "-m", "pip", *map(str, words)], check=True)
        complete.write_text(asked.read_text())


Told = list[tuple[float, str]]
"""Lines of stderr, and when they came."""


def _watched(command: list[str], added: dict[str, str]) -> tuple[Told, str, float, float]:
    """What a process told and printed, and when it began and ended. SystemExit where it fails."""
    paths = [str(BENCHMARKS), str(BENCHMARKS.parent / "src"), *([added.pop("BESIDE")] if "BESIDE" in added else [])]
    own = {"PYTHONPATH": os.pathsep.join(paths), "RAY_USAGE_STATS_ENABLED": "0"}
    told: Told = []
    with tempfile.TemporaryFile("w+") as printed:
        began = time.time()
        process = subprocess.Popen(
            [sys.executable, *command],
            env=os.environ | own | added,
            stdout=printed,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        late = threading.Timer(DEADLINE_S, process.kill)
        late.start()
        try:
            assert process.stderr is not None
            told += ((time.time(), line) for line in process.stderr)
            code = process.wait()
        finally:
            late.cancel()
            process.kill()
            process.wait()
        ended = time.time()
        printed.seek(0)
        if code:
            raise SystemExit(f"{' '.join(command)} failed ({code}):\n{''.join(line for _, line in told)[-3000:]}")
        return told, printed.read(), began, ended


def _when(told: Told, begin: str) -> float:
    return next(when for when, line in told if line.startswith(begin))
