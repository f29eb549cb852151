"""How samples are dealt out where the batch grows: every sample once an epoch, position the only state."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from pileus.data.batches import Batches, Place, share

GROWN = Batches(103, batch_size=10, microbatch_size=4, seed=1, growth={1: 20, 3: 50})


def test_a_size_holds_from_its_epoch_on() -> None:
    assert [GROWN.batch_size(epoch) for epoch in range(5)] == [10, 20, 20, 50, 50]
    assert [GROWN.steps_per_epoch(epoch) for epoch in range(5)] == [11, 6, 6, 3, 3]
    assert [GROWN.size(3, step) for step in range(3)] == [50, 50, 3]
    assert [GROWN.num_microbatches(3, step) for step in range(3)] == [13, 13, 1]


def test_growth_at_the_first_epoch_takes_the_place_of_the_batch_size() -> None:
    assert Batches(10, 2, 1, 0, {0: 5}).batch_size(0) == 5


@pytest.mark.parametrize("epoch", range(4))
def test_an_epoch_has_every_sample_once(epoch: int) -> None:
    rows = [
        GROWN.rows(Place(epoch, step, index))
        for step in range(GROWN.steps_per_epoch(epoch))
        for index in range(GROWN.num_microbatches(epoch, step))
    ]
    assert max(map(len, rows)) == 4
    np.testing.assert_array_equal(np.sort(np.concatenate(rows)), np.arange(103))


def test_growing_moves_no_sample_within_the_order() -> None:
    """The order of an epoch is that of its seed alone; a larger batch only cuts it elsewhere."""
    small = Batches(103, batch_size=10, microbatch_size=4, seed=1)
    grown, plain = (
        np.concatenate(
            [
                batches.rows(Place(3, step, index))
                for step in range(batches.steps_per_epoch(3))
                for index in range(batches.num_microbatches(3, step))
            ]
        )
        for batches in (GROWN, small)
    )
    np.testing.assert_array_equal(grown, plain)


def test_samples_are_counted_over_the_border_of_a_growth() -> None:
    counted, global_step = 0, 0
    for epoch in range(4):
        for step in range(GROWN.steps_per_epoch(epoch)):
            assert GROWN.samples_before(epoch, global_step) == counted
            counted += GROWN.size(epoch, step)
            global_step += 1
    assert GROWN.samples_before(4, global_step) == counted == 4 * 103


@pytest.mark.parametrize("num_workers", [1, 2, 3])
def test_places_go_on_from_any_position_over_a_border(num_workers: int) -> None:
    for rank in range(num_workers):
        held = functools.partial(share, rank, num_workers)
        whole = list(GROWN.places(range(4), 0, held))
        for epoch, step in [(0, 10), (1, 0), (2, 5), (3, 1)]:
            rest = list(GROWN.places(range(epoch, 4), step, held))
            assert rest == [place for place in whole if (place.epoch, place.step) >= (epoch, step)]
