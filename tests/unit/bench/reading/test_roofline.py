"""The roof of a cell is the lowest of its three ceilings."""

from __future__ import annotations

import pytest

from pileus.bench.reading.ceilings import Ceilings, DecodeCeiling, HandoverCeiling, StoreCeiling
from pileus.bench.reading.design import CacheState, Cell, Place
from pileus.bench.reading.roofline import bounds_of


def cell(cache: CacheState, readers: int = 2, batch_size: int = 16) -> Cell:
    return Cell(
        format="shards", pixels=0, batch_size=batch_size, batches=4, readers=readers, cache=cache, store=Place()
    )


def store(cache: CacheState, rate: float, readers: int = 2) -> StoreCeiling:
    return StoreCeiling(
        format="shards", pixels=0, store="local", cache=cache, readers=readers, images_per_s=rate, bytes_per_s=rate * 10
    )


CEILINGS = Ceilings(
    stores=(store("warm", 9000), store("cold", 800), store("warm", 5000, readers=1)),
    decoders=tuple(DecodeCeiling(pixels=0, readers=n, images_per_s=rate) for n, rate in ((2, 2000), (1, 1100))),
    handovers=(
        HandoverCeiling(pixels=0, batch_size=16, readers=2, images_per_s=50_000),
        HandoverCeiling(pixels=0, batch_size=1, readers=2, images_per_s=300),
        HandoverCeiling(pixels=0, batch_size=16, readers=1, images_per_s=60_000),
    ),
)


@pytest.mark.parametrize(
    ("asked", "measured", "part", "share"),
    [
        (cell("warm"), 1500.0, "decode", 0.75),
        (cell("cold"), 600.0, "store", 0.75),
        (cell("warm", batch_size=1), 240.0, "hand-over", 0.8),
        (cell("warm", readers=1), 990.0, "decode", 0.9),
    ],
)
def test_the_lowest_ceiling_bounds(asked: Cell, measured: float, part: str, share: float) -> None:
    (bound,) = bounds_of({asked: measured}, CEILINGS)
    assert bound.bound_by == part
    assert bound.share == pytest.approx(share)
    assert bound.ceilings[bound.bound_by] == min(bound.ceilings.values())
