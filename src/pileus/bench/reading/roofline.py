"""Which part of reading bounds each cell, and how near the cell comes to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pileus.bench.reading.ceilings import Ceilings
from pileus.bench.reading.design import Cell
from pileus.spec.values import Spec

Part = Literal["store", "decode", "hand-over"]


class Bound(Spec, frozen=True, kw_only=True):
    """A cell under its roof. Rates in images a second."""

    cell: Cell
    measured: float
    ceilings: dict[Part, float]
    bound_by: Part
    share: float
    """Of the lowest ceiling that was reached; above 1 by the spread of either."""


def bounds_of(measured: Mapping[Cell, float], ceilings: Ceilings) -> list[Bound]:
    stores = {(c.format, c.pixels, c.store, c.cache, c.readers): c.images_per_s for c in ceilings.stores}
    decoders = {(c.pixels, c.readers): c.images_per_s for c in ceilings.decoders}
    handovers = {(c.pixels, c.batch_size, c.readers): c.images_per_s for c in ceilings.handovers}
    found = []
    for cell, rate in measured.items():
        roof: dict[Part, float] = {
            "store": stores[cell.format, cell.pixels, cell.store.name, cell.cache, cell.readers],
            "decode": decoders[cell.pixels, cell.readers],
            "hand-over": handovers[cell.pixels, cell.batch_size, cell.readers],
        }
        lowest = min(roof, key=lambda part: roof[part])
        found.append(Bound(cell=cell, measured=rate, ceilings=roof, bound_by=lowest, share=rate / roof[lowest]))
    return found
