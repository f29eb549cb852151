"""The tables as pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pileus.measure.figures import COLOURS, painted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Table = Mapping[str, Mapping[str, float]]
"""Shares by row and column."""
_PALEST = 0.5
"""A share of so much or less has no colour."""


def shares(table: Table) -> bytes:
    """A PNG: a row each, cells with what was done and the share in per cent that was right."""

    def draw(axes: Axes) -> None:
        for row, (name, cells) in enumerate(table.items()):
            axes.text(-0.1, row + 0.5, name, ha="right", va="center")
            for column, (strength, share) in enumerate(cells.items()):
                opacity = max(0.0, (share - _PALEST) / (1 - _PALEST)) ** 3
                axes.barh(row + 0.5, 0.96, 0.9, column + 0.02, color=COLOURS[2], alpha=0.75 * opacity)
                axes.text(column + 0.5, row + 0.5, f"{strength}\n{share:.1%}".strip(), ha="center", va="center")
        axes.set(xlim=(0, max(map(len, table.values()))), ylim=(len(table), 0))
        axes.axis("off")

    return painted(draw, size=(7.5, 0.5 * len(table) + 0.2))


def rejections(told: Mapping[str, float]) -> bytes:
    """A PNG: a bar a kind, of the share that is rejected."""

    def draw(axes: Axes) -> None:
        for row, share in enumerate(told.values()):
            axes.barh(row, share, color=COLOURS[0])
            axes.text(share + 0.01, row, f"{share:.1%}", va="center")
        axes.set_yticks(range(len(told)), list(told))
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
        axes.set(xlim=(0, 1.1), ylim=(len(told) - 0.4, -0.6), xlabel="share rejected")

    return painted(draw, size=(7.5, 0.26 * len(told) + 0.6))
