"""The command line: as a process of its own, and in this process where that shows the same."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
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
EPOCHS = 24
STEPS_PER_EPOCH = 5
SETTINGS = (f"epochs={EPOCHS}", "batch_size=32", "microbatch_size=8")
"""Of the trial runs: four microbatches a step, 120 steps, one or two seconds of training."""
_DEADLINE_S = 60.0
_LOOK_S = 0.002


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    """As a shell tells it: 128 and the number for a signal."""
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
    return Ended(_as_shell(done.returncode), done.stdout, done.stderr)


class Begun:
    """A program under way, in a session of its own as on a terminal; killed when the block ends."""

    def __init__(self, *command: str | Path) -> None:
        self._process = subprocess.Popen(
            [str(word) for word in command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
            start_new_session=True,
        )
        self.pid = self._process.pid
        self.story = ""
        self._deadline = threading.Timer(_DEADLINE_S, self._process.kill)

    def __enter__(self) -> Begun:
        self._deadline.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._deadline.cancel()
        self._process.kill()
        self._process.communicate()

    def heard(self, part: str) -> str:
        """The next line on stderr that holds the part."""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.story += line
            if part in line:
                return line
        raise AssertionError(f"{part!r} was not said:\n{self.story}")

    def seen(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so; the process must live until then."""
        while not condition():
            with contextlib.suppress(subprocess.TimeoutExpired):
                raise AssertionError(f"ended with {self._process.wait(_LOOK_S)}:\n{self.ended().err}")

    def signal(self, number: signal.Signals, *, group: bool = False) -> None:
        """To the process, or to its group, as a terminal does."""
        (os.killpg if group else os.kill)(self.pid, number)

    def ended(self) -> Ended:
        out, err = self._process.communicate(timeout=_DEADLINE_S)
        return Ended(_as_shell(self._process.returncode), out, self.story + err)


def _as_shell(code: int) -> int:
    return 128 - code if code < 0 else code


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
