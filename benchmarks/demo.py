"""What the demo and the small recipes reach, and how long a stranger waits: several seeds, the median and spread.

python benchmarks/demo.py [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from typing import Any

from record import spread, write_record


def run(*words: str) -> tuple[float, dict[str, Any]]:
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "pileus", *words, "--json"], check=True, capture_output=True, text=True, timeout=1800
    )
    return time.perf_counter() - started, json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    demos, pages_s, seeds = [], [], {"strokes_cnn": [], "digits_cnn": []}  # type: ignore[var-annotated]
    for _ in range(args.rounds):
        with tempfile.TemporaryDirectory() as runs:
            waited_s, _ = run("demo", "--no-serve", "--runs", f"{runs}/until-the-page")
            pages_s.append(waited_s)
            demos.append(run("demo", "--runs", f"{runs}/whole"))
    with tempfile.TemporaryDirectory() as runs:
        for recipe, results in seeds.items():
            for seed in range(args.rounds):
                words = ("train", recipe, "--workers", "2", "--set", f"seed={seed}", "--runs", runs)
                results.append(run(*words)[1])
    figures = {
        "seconds to the served page": spread(pages_s),
        "seconds of the whole demo": spread([seconds for seconds, _ in demos]),
        "accuracy over HTTP on the drawings of the test writers": spread([it["served"]["accuracy"] for _, it in demos]),
        "p50 ms of one drawing": spread([it["served"]["p50_ms"] for _, it in demos]),
        "p99 ms of one drawing": spread([it["served"]["p99_ms"] for _, it in demos]),
        **{f"{recipe}: test accuracy over seeds": spread([it["accuracy"] for it in r]) for recipe, r in seeds.items()},
        **{f"{recipe}: training s": spread([it["train_s"] for it in r]) for recipe, r in seeds.items()},
    }
    says = "The demo from a start with no records written, and the two embedded recipes over seeds."
    folder = write_record("demo", figures, {"demos": demos, "seeds": seeds}, says)
    print(json.dumps(figures, indent=2), folder, sep="\n")


if __name__ == "__main__":
    main()
