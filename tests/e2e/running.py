"""The command line: as a process of its own, and in this process where that shows the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from pileus.cli.main import main
from pileus.data.ports import Split
from pileus.data.sources.arrays import ArraySource, Part
from pileus.data.write import write_records
from pileus.operations.train import train
from pileus.recipes.load import load_recipe
from pileus.spec.preprocessing import Drawing
from pileus.spec.resolve import parse_setting, resolve
from pileus.spec.run import RunSpec

ROOT = Path(__file__).parents[2]
PILEUS = (sys.executable, "-m", "pileus")
EPOCHS = 12
STEPS_PER_EPOCH = 5
SETTINGS = (f"epochs={EPOCHS}", "batch_size=32", "microbatch_size=8")
"""Of the trial runs: four microbatches a step, 60 steps, about a second of training."""
_DEADLINE_S = 60.0


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def here(capsys: pytest.CaptureFixture[str], *words: str | Path) -> Ended:
    """A command in this process."""
    capsys.readouterr()
    code = main([str(word) for word in words])
    return Ended(code, *capsys.readouterr())


def alone(*words: str | Path) -> Ended:
    """A command as a process of its own."""
    command = [*PILEUS, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_DEADLINE_S, env=environment(), check=False)
    return Ended(done.returncode, done.stdout, done.stderr)


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT / "src"), **more}


def assert_told(ended: Ended, code: int, *parts: str) -> None:
    """The exit code, and as the last words on stderr one or two lines that hold the parts."""
    assert ended.code == code, ended.err
    assert "Traceback" not in ended.err, ended.err
    lines = ended.err.splitlines()
    last = max(number for number, line in enumerate(lines) if line.startswith("pileus: "))
    message = lines[last:]
    assert len(message) <= 2, ended.err
    for part in parts:
        assert part in "\n".join(message), ended.err


def write_digits(place: Path) -> Path:
    """A record set of scattered blobs that a net can tell apart: 160 to train, 32 to validate, 32 to test."""
    numbers = np.random.default_rng(7)
    parts = []
    for split, size in ((Split.TRAIN, 160), (Split.VALIDATION, 32), (Split.TEST, 32)):
        labels_N = np.arange(size) % 4
        images_NHWC = numbers.integers(0, 60, (size, 8, 8, 1), dtype=np.uint8)
        for row, label in enumerate(labels_N):
            images_NHWC[row, 4 * (label // 2) : 4 * (label // 2) + 4, 4 * (label % 2) : 4 * (label % 2) + 4] += 80
        parts.append(Part(name=split.name.lower(), split=split, images=images_NHWC, labels=labels_N))
    preprocessing = Drawing(height=8, width=8, box=8.0, stroke_width=1.0)
    write_records(
        ArraySource(kind="test", classes=tuple("abcd"), parts=tuple(parts), preprocessing=preprocessing), str(place)
    )
    return place


def write_pictures(folder: Path, num: int = 12, side: int = 8, mode: str = "L") -> None:
    """PNG files of noise."""
    folder.mkdir(parents=True)
    numbers = np.random.default_rng(0)
    for number in range(num):
        pixels = numbers.integers(0, 255, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).convert(mode).save(folder / f"{number}.png")


def trial_spec(records: Path, *pairs: str) -> RunSpec:
    settings = [parse_setting(pair) for pair in (*SETTINGS, *pairs)]
    return resolve(load_recipe("digits_cnn"), [(("data", "source"), str(records)), *settings])


def trial_words(records: Path, *words: str | Path) -> list[str]:
    """`pileus train` of the trial run."""
    pairs = [word for pair in SETTINGS for word in ("--set", pair)]
    return ["train", "digits_cnn", "--data", str(records), *pairs, *map(str, words)]


def fault_free_fingerprint(records: Path, runs: Path) -> str:
    return train(trial_spec(records, "engine.name=fake"), runs=str(runs), name="fault-free").fingerprint
