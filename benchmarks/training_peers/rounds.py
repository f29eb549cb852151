"""Contenders in turn: each once in every round, in an order drawn anew, so that a drift of the machine meets all."""

from __future__ import annotations

import functools
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from record import spread

BENCHMARKS = Path(__file__).parents[1]
DEADLINE_S = 3600.0
Result = dict[str, Any]
Rounds = dict[str, list[Result]]
"""What came of each contender, by round."""
_ALONE = 'ip link set lo up && "$@"; code=$?; awk \'/ lo:/ {print "\\n" $2}\' /proc/net/dev >&2; exit $code'


def in_turn(contenders: Mapping[str, Callable[[int], Result]], rounds: int, figure: str) -> Rounds:
    """`figure` of each result is told as it comes. A contender is called with the number of the round."""
    drawn, found = random.Random(0), {name: list[Result]() for name in contenders}
    for number in range(rounds):
        for name in drawn.sample(list(contenders), len(contenders)):
            result = contenders[name](number)
            found[name].append(result)
            say(f"round {number + 1}/{rounds}: {name}: {figure} {result[figure]:,.4g}")
    return found


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def peer(module: str, *words: object, cores: int) -> Result:
    """A module of this package, or a script beside it, as a fresh process on the first so many cores."""
    script = BENCHMARKS / f"{module}.py"
    command = [str(script)] if script.exists() else ["-m", f"training_peers.{module}"]
    return run([*command, *map(str, words)], cores)


def pileus(*words: object, cores: int) -> Result:
    """`pileus ... --json`."""
    return run(["-m", "pileus", *map(str, words), "--json"], cores)


@functools.cache
def alone() -> tuple[str, ...]:
    """The words before a command that give it a loopback interface of its own, whose bytes its last line tells.

    None of them where the system does not let us: another program's bytes would be among those counted.
    """
    words = ("unshare", "--net", "--map-root-user", "sh", "-c", _ALONE, "sh")
    allowed = shutil.which("unshare") and subprocess.run([*words, "true"], capture_output=True, check=False)
    if allowed and not allowed.returncode:
        return words
    say("no network of its own is to be had for a run: its bytes are not counted")
    return ()


def run(command: list[str], cores: int) -> Result:
    """What the process printed, and `network_bytes` of it and those below it, None where they cannot be counted.

    SystemExit where the process fails, with the end of what it said.
    """
    allowed = sorted(os.sched_getaffinity(0))[:cores]
    done = subprocess.run(
        [*alone(), "taskset", "--cpu-list", ",".join(map(str, allowed)), sys.executable, *command],
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(BENCHMARKS), str(BENCHMARKS.parent / "src")))},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    counted = int(done.stderr.split()[-1]) if alone() else None
    return dict(json.loads(done.stdout)) | {"network_bytes": counted}


def ratios(over: Sequence[Result], under: Sequence[Result], figure: str) -> list[float]:
    """Round by round."""
    return [one[figure] / other[figure] for one, other in zip(over, under, strict=True)]


def reached(values: Sequence[float], target: float) -> str:
    """Whether the median is at least the target, and by what."""
    told = spread(values)
    verdict = "reached" if told["median"] >= target else "not reached"
    return f"{verdict}: {told['median']:.3f} ({told['min']:.3f} to {told['max']:.3f}), at least {target:g} is asked for"
