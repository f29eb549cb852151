"""What a gang took comes to rank 0 in the order of steps and microbatches, however it was shared."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from pileus.data.batches import share
from pileus.training.exchange.ports import Alone
from pileus.training.exchange.threads import Meeting
from pileus.training.ledger import Page
from pileus.training.taken import Taken

MICROBATCH = 4


@pytest.mark.parametrize("workers", [1, 2, 3, 4])
def test_the_order_is_that_of_one_worker(workers: int) -> None:
    batches = [
        np.arange(0, 16, dtype=np.uint32),
        np.arange(16, 32, dtype=np.uint32),
        np.arange(32, 37, dtype=np.uint32),
    ]
    meeting = Meeting(workers, deadline_s=20.0)
    pages: dict[int, list[Page | None]] = {}

    def one(rank: int) -> None:
        taken = Taken(meeting.end(rank))
        for number, batch in enumerate(batches):
            microbatches = [batch[start : start + MICROBATCH] for start in range(0, len(batch), MICROBATCH)]
            low, high = share(rank, workers, len(microbatches))
            taken.note(microbatches[low:high], number if rank == 0 else None)
            if number == 1:
                taken.gather()
        taken.gather()
        pages[rank] = [taken.page(0, (0, 3), 0, None) for _ in range(2)]

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    page, nothing = pages.pop(0)
    assert page is not None
    assert page.positions.tolist() == list(range(37))
    assert (page.marks.tolist(), page.head.marked) == ([0, 1, 2], True)
    assert nothing is None
    assert all(each == [None, None] for each in pages.values())


def test_a_page_without_all_of_its_marks_has_none() -> None:
    taken = Taken(Alone())
    taken.note([np.arange(3, dtype=np.uint32)], None)
    taken.gather()
    page = taken.page(0, (0, 1), 0, None)
    assert page is not None
    assert (page.head.marked, len(page.marks)) == (False, 0)
