"""The class of each of scikit-learn's digits of the test part, by neighbours, when all is warm.

A fifth of the 1,797 digits are questions, the others are known. Ours and scikit-learn's classifier take turns in one
process, each with the same pixels and cores.

    python benchmarks/neighbours_digits.py [--k 5] [--rounds 200] [--no-record]
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
from record import spread, write_record
from sklearn.neighbors import KNeighborsClassifier

from pileus.data.sources.digits import open_digits
from pileus.machine import count_cores
from pileus.models.neighbours.search import Shard
from pileus.models.neighbours.votes import logits_of

CLASSES, MOST_MS = 10, 5.0
_SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--k", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--no-record", action="store_true", help="measure and tell, write nothing")
    args = parser.parse_args()
    (part,) = open_digits().parts
    pixels_MD, labels_M = np.asarray(part.images).reshape(len(part.labels), -1), part.labels
    asked, known = np.split(np.random.default_rng(_SEED).permutation(len(labels_M)), [len(labels_M) // 5])
    shard = Shard(pixels_MD[known], threads=count_cores().usable)
    theirs = KNeighborsClassifier(args.k, algorithm="brute", n_jobs=-1)
    theirs.fit(pixels_MD[known].astype(np.float32), labels_M[known])

    def ours_of(queries_ND: Any) -> Any:
        return logits_of(labels_M[known][shard.nearest(queries_ND, args.k).indices_NK], CLASSES).argmax(axis=1)

    def theirs_of(queries_ND: Any) -> Any:
        return theirs.predict(queries_ND.astype(np.float32))

    took_ms: dict[str, list[float]] = {"Pileus": [], "scikit-learn": []}
    right = {}
    for turn in range(args.rounds + 1):
        for name, answer in (("Pileus", ours_of), ("scikit-learn", theirs_of)):
            begun = time.perf_counter()
            found_N = answer(pixels_MD[asked])
            if turn:
                took_ms[name].append(1e3 * (time.perf_counter() - begun))
            right[name] = float(np.mean(found_N == labels_M[asked]))
    figures: dict[str, Any] = {f"{name}, ms": spread(each) for name, each in took_ms.items()}
    figures |= {f"{name}, accuracy": share for name, share in right.items()}
    reached = figures["Pileus, ms"]["median"] < MOST_MS
    figures[f"target: under {MOST_MS:g} ms"] = "reached" if reached else "missed"
    print(json.dumps(figures, indent=2))
    if not args.no_record:
        says = (
            f"{len(asked)} questions of {len(known)} known digits, {args.k} neighbours, {args.rounds} rounds in turns."
        )
        print(write_record("neighbours-digits", figures, {"ms": took_ms}, says))


if __name__ == "__main__":
    main()
