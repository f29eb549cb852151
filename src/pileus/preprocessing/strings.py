"""A picture of writing to its items: components of the ink, cut where digits touch.

The ink is made upright first, so that neighbours that lean do not lie over each other. Components in one column are of
one item; a wide one is cut, for trial, where its ink is thinnest from top to bottom. The model then chooses among the
pieces and their runs (`lattice`).

All is measured by the height of the tallest component that is no speck, so that resolution does not matter.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from pileus.preprocessing.components import Components, Runs, components_of, painted, runs_of
from pileus.preprocessing.lattice import Box, Candidate, Item
from pileus.preprocessing.writing import Ink, framed, grey_of, ink_of, is_frame
from pileus.spec.preprocessing import Drawing

_MAX_COMPONENTS = 2_000
"""More are a photograph or noise, and are taken as one item."""
_MAX_ATOMS = 48
_MAX_RUN = 5
"""Atoms that one candidate may consist of."""

_EDGE = 0.3
_RULE, _FILLED, _RULE_THICK = 0.7, 0.5, 0.12
"""Printed lines: in this outer part of a string's picture, longer than this part of its height or filling this part of
its width, and thinner than this part of its height."""
_SLANTS = tuple(step / 10 for step in range(-4, 11))
"""Columns to the right for a row upwards, that are tried."""
_STRING = 1.4
"""Width by height from which ink may be several items, and is made upright."""

_SPECK_AREA = 0.1
"""Of the largest component's area: smaller ones do not say how tall the writing is."""
_SPECK = 0.25
_FLAT = 0.22
_IN_ONE_COLUMN = 0.5
_WIDE = 0.7
_BETWEEN_CUTS = 0.16
_THIN = 0.4
_WIDEST = 1.5
_NEAR = 0.12
_CUT_DOUBT, _JOIN_DOUBT = 0.4, 0.7
"""Nats against a candidate that ends within a component, or holds several."""


class _Atom(NamedTuple):
    """Columns [left, right) of a group of components."""

    group: int
    left: int
    right: int


class _Page(NamedTuple):
    ink: Ink
    groups_HW: NDArray[np.int32]
    """Which group each pixel is of; -1: none."""
    height: float
    """Of the writing."""
    slant: float
    width: int
    """Pixels of the ink before it was made upright."""
    size: tuple[int, int]
    """Width and height of the picture."""


def candidates_of_picture(picture: Image.Image, spec: Drawing) -> list[Candidate]:
    """One a group of components, and more where these are wide or near. NoWriting where there is no ink."""
    grey = grey_of(picture)
    if is_frame(grey, spec):
        image_HWC = np.asarray(grey, np.uint8)[:, :, None].copy()
        return [Candidate(0, 1, Item(image_HWC, (0, 0, spec.width, spec.height)))]
    ink = ink_of(grey)
    width = ink.ink_HW.shape[1]
    ink, slant = _upright(ink)
    runs = runs_of(_unruled(ink.ink_HW >= ink.threshold))
    components = components_of(runs)
    height, group_of = _grouped(components)
    keep = group_of[components.of_run] >= 0
    kept = Runs(*(column[keep] for column in runs))
    groups_HW = painted(kept, group_of[components.of_run][keep], ink.ink_HW.shape)
    page = _Page(ink, groups_HW, height, slant, width, grey.size)
    atoms = list(_atoms(page, int(group_of.max()) + 1))
    return list(_candidates(page, atoms, spec))


def _upright(ink: Ink) -> tuple[Ink, float]:
    """Sheared so that the columns' sums are as uneven as can be; only what is wide enough to be a string."""
    sure_HW = ink.ink_HW >= ink.threshold
    rows, columns = np.nonzero(sure_HW)
    if np.ptp(columns) + 1 < _STRING * (np.ptp(rows) + 1):
        return ink, 0.0
    height, width = sure_HW.shape

    def unevenness(slant: float) -> float:
        shifted = np.rint(columns + slant * rows).astype(np.int64)
        return float((np.bincount(shifted - shifted.min()).astype(np.float64) ** 2).sum()) * (1 - 0.02 * abs(slant))

    slant = max(_SLANTS, key=unevenness)
    room = math.ceil(abs(slant) * height)
    first = 0.0 if slant >= 0 else slant * height
    sheared = Image.fromarray(ink.ink_HW).transform(
        (width + room, height), Image.Transform.AFFINE, (1, -slant, first, 0, 1, 0), Image.Resampling.BILINEAR
    )
    return ink._replace(ink_HW=np.asarray(sheared, np.uint8)), slant


def _unruled(mask_HW: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Without lines that are printed along the upper and lower edge, unless nothing else is there.

    Such a line fills most of a row; of that row goes what is thin from top to bottom, so that strokes across it stay.
    """
    height, width = mask_HW.shape
    if width < _STRING * height:
        return mask_HW
    outer_H = np.abs(np.arange(height) + 0.5 - height / 2) > (0.5 - _EDGE) * height
    filled_H = outer_H & (mask_HW.sum(axis=1) > _FILLED * width)
    across = runs_of(mask_HW)
    long = across.rows[across.stops - across.starts > _RULE * height]
    filled_H[long] |= outer_H[long]
    down = runs_of(mask_HW.T)
    before_H = np.concatenate([[0], np.cumsum(filled_H)])
    on_line = before_H[down.stops] > before_H[down.starts]
    thick = down.stops - down.starts > max(3.0, _RULE_THICK * height)
    kept = Runs(*(column[thick | ~on_line] for column in down))
    return painted(kept, np.zeros(len(kept.rows), np.int64), (width, height)).T >= 0 if len(kept.rows) else mask_HW


def _grouped(components: Components) -> tuple[float, NDArray[np.int64]]:
    """The height of the writing; and for each component the group it is of, from left to right, -1: none."""
    count = len(components)
    if count > _MAX_COMPONENTS:
        return float(components.bottom.max() - components.top.min()), np.zeros(count, np.int64)
    heights, widths = components.bottom - components.top, components.right - components.left
    large = components.area >= _SPECK_AREA * components.area.max()
    height = float(heights[large].max())
    is_bar = (heights < _FLAT * height) & (widths > heights)
    is_speck = (np.maximum(heights, widths) < _SPECK * height) & ~large
    group_of = np.full(count, -1, np.int64)
    groups: list[list[int]] = []
    for number in sorted(np.flatnonzero(~is_speck).tolist(), key=lambda number: int(-widths[number])):
        here = int(components.left[number]), int(components.right[number])
        for group in groups:
            if _shared(here, group) >= _IN_ONE_COLUMN:
                group[0], group[1] = min(group[0], here[0]), max(group[1], here[1])
                group.append(number)
                break
        else:
            groups.append([*here, number])
    written = [group for group in groups if not all(is_bar[number] for number in group[2:])] or groups
    for place, group in enumerate(sorted(written, key=lambda group: group[0] + group[1])):
        group_of[group[2:]] = place
    return height, group_of


def _shared(one: tuple[int, int], other: list[int]) -> float:
    """What of the narrower interval lies within the other."""
    narrower = min(one[1] - one[0], other[1] - other[0])
    return (min(one[1], other[1]) - max(one[0], other[0])) / max(narrower, 1)


def _atoms(page: _Page, num_groups: int) -> Iterator[_Atom]:
    for group in range(num_groups):
        column_W = (page.groups_HW == group).sum(axis=0)
        inked = np.flatnonzero(column_W)
        left, right = int(inked[0]), int(inked[-1]) + 1
        cuts = _cuts(column_W[left:right], page.height) if right - left > _WIDE * page.height else []
        if num_groups + len(cuts) > _MAX_ATOMS:
            cuts = []
        bounds = [left, *(left + cut for cut in cuts), right]
        yield from (_Atom(group, *pair) for pair in itertools.pairwise(bounds))


def _cuts(column_W: NDArray[np.int64], height: float) -> list[int]:
    """Where the ink is thinnest, none near another or the ends."""
    apart = max(2, round(_BETWEEN_CUTS * height))
    most = 2 * math.ceil(len(column_W) / (0.5 * height))
    cuts: list[int] = []
    for place in np.argsort(column_W, kind="stable").tolist():
        if column_W[place] > _THIN * height or len(cuts) >= most:
            break
        if all(abs(place - other) >= apart for other in (0, len(column_W), *cuts)):
            cuts.append(place)
    return sorted(cuts)


def _candidates(page: _Page, atoms: list[_Atom], spec: Drawing) -> Iterator[Candidate]:
    for start in range(len(atoms)):
        for stop in range(start + 1, min(start + _MAX_RUN, len(atoms)) + 1):
            run = atoms[start:stop]
            if stop - start > 1:
                near = run[-1].group == run[-2].group or run[-1].left - run[-2].right <= _NEAR * page.height
                left, right = min(atom.left for atom in run), max(atom.right for atom in run)
                whole = len({atom.group for atom in run}) == 1 and _is_end(atoms, start) and _is_end(atoms, stop)
                if not near or (right - left > _WIDEST * page.height and not whole):
                    break
            doubt = _CUT_DOUBT * (2 - _is_end(atoms, start) - _is_end(atoms, stop))
            doubt += _JOIN_DOUBT * (run[-1].group - run[0].group)
            yield Candidate(start, stop, _item(page, run, spec), -doubt)


def _is_end(atoms: list[_Atom], place: int) -> bool:
    return place in (0, len(atoms)) or atoms[place - 1].group != atoms[place].group


def _item(page: _Page, run: list[_Atom], spec: Drawing) -> Item:
    left, right = min(atom.left for atom in run), max(atom.right for atom in run)
    strip_HW = page.groups_HW[:, left:right]
    of_run_HW = np.zeros(strip_HW.shape, np.bool_)
    for atom in run:
        columns = slice(atom.left - left, atom.right - left)
        of_run_HW[:, columns] |= strip_HW[:, columns] == atom.group
    rows = np.flatnonzero(of_run_HW.any(axis=1))
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    soft = Image.fromarray(of_run_HW[top:bottom].astype(np.uint8) * 255).filter(ImageFilter.MaxFilter(3))
    ink_HW = np.where(np.asarray(soft) > 0, page.ink.ink_HW[top:bottom, left:right], 0).astype(np.uint8)
    image_HWC = framed(ink_HW, page.ink.threshold, spec)[:, :, None]
    return Item(image_HWC, _box(page, of_run_HW, left))


def _box(page: _Page, mask_HW: NDArray[np.bool_], left: int) -> Box:
    """In the picture's pixels, leaning as it is, of a mask of these columns from `left` on."""
    rows, columns = np.nonzero(mask_HW)
    places = columns + left - page.slant * (rows if page.slant >= 0 else rows - len(mask_HW))
    start = min(max(math.floor(places.min()), 0), page.width - 1)
    stop = min(max(math.ceil(places.max()) + 1, start + 1), page.width)
    factor, (whole_width, whole_height) = page.ink.factor, page.size
    left, top = start * factor, int(rows.min()) * factor
    right, bottom = min(stop * factor, whole_width), min((int(rows.max()) + 1) * factor, whole_height)
    return left, top, right - left, bottom - top
