"""Which server holds what: whole tensors, in the order of the layout, as even as their borders allow."""

from __future__ import annotations

import itertools
from typing import NamedTuple

from pileus.training.layout import Layout
from pileus.training.update import Cut


class Extent(NamedTuple):
    """A shard's half-open interval of the state that steps change, and the borders of that state."""

    start: int
    stop: int
    num_trained: int
    num_summed: int

    @property
    def size(self) -> int:
        return self.stop - self.start

    def layout(self) -> Layout:
        """One with the same borders; a server needs no more of a network."""
        num_statistics = self.num_summed - self.num_trained
        return Layout([("trained", (self.num_trained,))], [("statistics", (num_statistics,))])

    def cut(self) -> Cut:
        return Cut(self.layout(), self.start, self.stop)


def extents(layout: Layout, num_servers: int) -> list[Extent]:
    """One for each server; the last may be empty where there are more servers than tensors."""
    starts = [slot.start for slot in layout.parameters + layout.statistics]
    borders = [*starts, layout.num_summed]
    cuts = [0]
    for server in range(1, num_servers):
        wanted = layout.num_summed * server / num_servers
        nearest = min(borders, key=lambda border: abs(border - wanted))
        cuts.append(max(nearest, cuts[-1]))
    cuts.append(layout.num_summed)
    return [Extent(start, stop, layout.num_trained, layout.num_summed) for start, stop in itertools.pairwise(cuts)]
