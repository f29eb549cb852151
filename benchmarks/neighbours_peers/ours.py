"""The same search by Pileus: `python ours.py pileus {} ARRAYS QUERIES K OUT`."""

from __future__ import annotations

import json
import sys
import time

import numpy as np

from pileus.machine import count_cores
from pileus.models.neighbours.products import fastest_exact
from pileus.models.neighbours.search import Shard

_WARM = 64


def main() -> None:
    _, _, arrays, queries, k, out = sys.argv[1:]
    with np.load(arrays) as loaded:
        images_MD, queries_ND = loaded["images_MD"], loaded["queries_ND"][: int(queries)]
    threads = count_cores().usable
    Shard(images_MD[:1000], threads=threads).nearest(queries_ND[:_WARM], int(k))
    started = time.perf_counter()
    shard = Shard(images_MD, threads=threads)
    taken = time.perf_counter()
    found = shard.nearest(queries_ND, int(k))
    searched = time.perf_counter()
    np.save(out, found.indices_NK)
    told = {"fit_s": taken - started, "search_s": searched - taken, "products": fastest_exact().__name__}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
