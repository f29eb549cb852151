"""Exact all-reduce gives the bits of the canonical tree for every number of workers, microbatches and floats."""

from __future__ import annotations

import threading

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pileus.data.batches import share
from pileus.training.exchange.threads import Meeting
from pileus.training.reduction import AllReduce
from pileus.training.tree import TreeSum, Vector


def single_sum(leaves: list[Vector]) -> Vector:
    total = TreeSum(len(leaves))
    for leaf, vector in enumerate(leaves):
        total.add((leaf, leaf + 1), vector.copy())
    return total.sums[0, len(leaves)]


@settings(max_examples=60)
@given(st.integers(1, 6), st.integers(1, 13), st.sampled_from([1, 5, 16, 17, 100]))
def test_every_worker_gets_the_bits_of_one_worker(workers: int, leaves: int, size: int) -> None:
    generator = np.random.default_rng(workers * 1000 + leaves)
    values = [(generator.standard_normal(size) * 1e4).astype(np.float32) for _ in range(leaves)]
    meeting = Meeting(workers, deadline_s=20.0)
    results = [np.full(size, np.nan, np.float32) for _ in range(workers)]

    def one(rank: int) -> None:
        partial = TreeSum(leaves)
        for leaf in range(*share(rank, workers, leaves)):
            partial.add((leaf, leaf + 1), values[leaf].copy())
        AllReduce(meeting.end(rank)).agree(partial.sums, leaves, results[rank])

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert {result.tobytes() for result in results} == {single_sum(values).tobytes()}
