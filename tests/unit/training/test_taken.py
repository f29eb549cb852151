"""What a gang took comes to rank 0 in the order of steps and microbatches, however it was shared."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from pileus.data.batches import share
from pileus.training.exchange.threads import Meeting
from pileus.training.taken import Positions, Taken

MICROBATCH = 4


@pytest.mark.parametrize("workers", [1, 2, 3, 4])
def test_the_order_is_that_of_one_worker(workers: int) -> None:
    batches = [
        np.arange(0, 16, dtype=np.uint32),
        np.arange(16, 32, dtype=np.uint32),
        np.arange(32, 37, dtype=np.uint32),
    ]
    meeting = Meeting(workers, deadline_s=20.0)
    results: list[Positions | None] = [None] * workers
    second: list[Positions | None] = [None] * workers

    def one(rank: int) -> None:
        taken = Taken(meeting.end(rank), MICROBATCH)
        for batch in batches:
            microbatches = [batch[start : start + MICROBATCH] for start in range(0, len(batch), MICROBATCH)]
            low, high = share(rank, workers, len(microbatches))
            taken.note(len(batch), microbatches[low:high])
        results[rank] = taken.gathered()
        second[rank] = taken.gathered()

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results[0] is not None
    assert results[0].tolist() == list(range(37))
    assert results[1:] == [None] * (workers - 1)
    assert second == [None] * workers
