"""A picture of writing to its items: components of the ink, cut where digits touch.

Writing that leans is parted as if it were upright, so that neighbours do not lie over each other. Components in one
column are of one item; a wide one is cut, for trial, along the ways down that cross the least ink. The model then
chooses among the pieces and their runs (`lattice`).

All is measured by the height of the tallest component that is no speck, so that resolution does not matter.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from pileus.preprocessing.components import Components, Runs, boxed, components_of, painted, runs_of
from pileus.preprocessing.lattice import Box, Candidate, Item
from pileus.preprocessing.writing import Ink, block_maximum, framed, grey_of, ink_of, is_frame, stroke_width
from pileus.spec.preprocessing import Drawing

_MAX_COMPONENTS, _MAX_GROUPS = 2_000, 300
"""More are a photograph or noise, and are taken as one item."""
_MAX_ATOMS = 48
"""Where there are more, each is an item: none is cut, and none are joined."""
_MAX_RUN = 7
"""Atoms that one candidate may consist of."""

_EDGE = 0.3
_RULE, _FILLED, _RULE_THICK = 0.7, 0.6, 0.12
"""Printed lines: in this outer part of a string's picture, longer than this part of its height or filling this part of
its width, and thinner than this part of its height."""
_SLANTS = tuple(step / 10 for step in range(-4, 11))
"""Columns to the right for a row upwards, that are tried."""
_LEANING = 0.5
"""What of the unevenness a slant of 1 must bring: zeros that touch are most uneven where they lean."""
_STRING = 1.4
"""Width by height from which ink may be several items, and is made upright."""

_SPECK_AREA = 0.1
"""Of the largest component's area: smaller ones do not say how tall the writing is."""
_SPECK = 0.25
_FLAT = 0.22
_COMMA = 0.5
"""Lower ones are dots and commas where they begin below the middle of the writing."""
_IN_ONE_COLUMN = 0.5
_WIDE = 0.7
_BETWEEN_CUTS = 0.16
_THIN = 0.4
_WIDEST = 1.5
_NEAR = 0.12
_MOST_ROWS = 128
"""Of the copy that cuts are looked for in."""
_BENDING = 0.2
"""How far a cut may go aside."""
_BEND, _STRAIGHT = 0.05, 0.02
"""What a step aside and a row aside cost, in pixels of ink."""
_CUT_DOUBT, _CROSSED_DOUBT, _JOIN_DOUBT = 0.1, 0.1, 0.7
"""Nats against a candidate that ends within a component, for each width of the stroke there, or holds several."""
_UPRIGHT = 0.5
"""Of the slant, that is taken from an item."""


class _Atom(NamedTuple):
    """Part of a group of components, within the columns [left, right)."""

    group: int
    left: int
    right: int
    crossed: float
    """Widths of the stroke that were cut through to part it from the one before."""


class _Page(NamedTuple):
    ink: Ink
    atoms_HW: NDArray[np.int32]
    """Which atom each pixel is of, made upright; -1: none."""
    height: float
    """Of the writing."""
    slant: float
    size: tuple[int, int]
    """Width and height of the picture."""


def candidates_of_picture(picture: Image.Image, spec: Drawing) -> list[Candidate]:
    """One a group of components, and more where these are wide or near. NoWriting where there is no ink."""
    grey = grey_of(picture)
    if is_frame(grey, spec):
        image_HWC = np.asarray(grey, np.uint8)[:, :, None].copy()
        return [Candidate(0, 1, Item(image_HWC, (0, 0, spec.width, spec.height)))]
    ink = ink_of(grey)
    mask_HW = ink.ink_HW >= ink.threshold
    slant = _slant(mask_HW)
    runs = runs_of(_unruled(mask_HW))
    of_run = components_of(runs).of_run
    shifts_H = _shifts(slant, len(mask_HW))
    upright = Runs(runs.rows, runs.starts + shifts_H[runs.rows], runs.stops + shifts_H[runs.rows])
    height, group_of = _grouped(boxed(upright, of_run))
    keep = group_of[of_run] >= 0
    kept = Runs(*(column[keep] for column in upright))
    wide = mask_HW.shape[1] + int(shifts_H.max())
    groups_HW = painted(kept, group_of[of_run][keep], (len(mask_HW), wide))
    boxes = boxed(kept, group_of[of_run][keep])
    atoms_HW, atoms = _atoms(groups_HW, boxes, height, stroke_width(ink.ink_HW))
    return list(_candidates(_Page(ink, atoms_HW, height, slant, grey.size), atoms, spec))


def _slant(mask_HW: NDArray[np.bool_]) -> float:
    """Columns to the right for a row down that make the columns' sums as uneven as can be; 0 for what is no string."""
    rows, columns = np.nonzero(mask_HW)
    if np.ptp(columns) + 1 < _STRING * (np.ptp(rows) + 1):
        return 0.0

    def unevenness(slant: float) -> float:
        shifted = np.rint(columns + slant * rows).astype(np.int64)
        return float((np.bincount(shifted - shifted.min()).astype(np.float64) ** 2).sum()) * (1 - _LEANING * abs(slant))

    return max(_SLANTS, key=unevenness)


def _shifts(slant: float, height: int) -> NDArray[np.int64]:
    """(H,) whole columns, 0 or more, by which each row goes to the right."""
    shifts_H = np.rint(slant * np.arange(height)).astype(np.int64)
    return np.asarray(shifts_H - shifts_H.min(), np.int64)


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
    tops, bottoms = ([each[group[2:]] for group in written] for each in (components.top, components.bottom))
    top_G, bottom_G = np.array([each.min() for each in tops]), np.array([each.max() for each in bottoms])
    is_comma_G = (bottom_G - top_G < _COMMA * height) & (top_G > np.median((top_G + bottom_G) / 2))
    written = [group for group, is_comma in zip(written, is_comma_G, strict=True) if not is_comma]
    if len(written) > _MAX_GROUPS:
        return height, np.zeros(count, np.int64)
    for place, group in enumerate(sorted(written, key=lambda group: group[0] + group[1])):
        group_of[group[2:]] = place
    return height, group_of


def _shared(one: tuple[int, int], other: list[int]) -> float:
    """What of the narrower interval lies within the other."""
    narrower = min(one[1] - one[0], other[1] - other[0])
    return (min(one[1], other[1]) - max(one[0], other[0])) / max(narrower, 1)


def _atoms(
    groups_HW: NDArray[np.int32], boxes: Components, height: float, stroke: float
) -> tuple[NDArray[np.int32], list[_Atom]]:
    """The atom that each pixel is of, -1: none; and the atoms, from left to right. `boxes`: of the groups."""
    atoms_HW = np.full(groups_HW.shape, -1, np.int32)
    atoms: list[_Atom] = []
    for group in range(len(boxes)):
        left, right = int(boxes.left[group]), int(boxes.right[group])
        place = slice(int(boxes.top[group]), int(boxes.bottom[group])), slice(left, right)
        mask_HW = groups_HW[place] == group
        seams = _seams(mask_HW, height) if right - left > _WIDE * height else _NO_SEAMS
        if len(atoms) + len(seams.crossed) + len(boxes) - group > _MAX_ATOMS:
            seams = _NO_SEAMS
        part_HW = np.zeros(mask_HW.shape, np.int32)
        for seam_H in seams.columns:
            part_HW += np.arange(right - left) >= seam_H[:, None]
        crossed = [0.0, *(seams.crossed / stroke).tolist()]
        for part in np.unique(part_HW[mask_HW]).tolist():
            here_HW = mask_HW & (part_HW == part)
            atoms_HW[place][here_HW] = len(atoms)
            inked = np.flatnonzero(here_HW.any(axis=0))
            atoms.append(_Atom(group, left + int(inked[0]), left + int(inked[-1]) + 1, crossed[part]))
    return atoms_HW, atoms


class _Seams(NamedTuple):
    """Ways from top to bottom, from left to right."""

    columns: list[NDArray[np.int64]]
    """(H,) each: the first column to the right of it."""
    crossed: NDArray[np.float64]
    """(S,) pixels of ink on each."""


_NO_SEAMS = _Seams([], np.empty(0))


def _seams(mask_HW: NDArray[np.bool_], height: float) -> _Seams:
    """That cross the least ink, none near another or the ends."""
    length, width = mask_HW.shape
    coarse = math.ceil(max(length, height) / _MOST_ROWS)
    small_HW = block_maximum(mask_HW.astype(np.uint8), coarse) > 0
    small_HS = _ways_down(small_HW, height / coarse)
    crossed_S = np.take_along_axis(small_HW, small_HS, axis=1).sum(axis=0) * float(coarse)
    columns_HS = np.repeat(small_HS, coarse, axis=0)[:length] * coarse
    chosen = _apart(columns_HS.mean(axis=0), crossed_S, width, height)
    return _Seams([columns_HS[:, number] for number in chosen], crossed_S[chosen])


def _ways_down(mask_HW: NDArray[np.bool_], height: float) -> NDArray[np.int64]:
    """(H, S) columns: from places along the top, the way down near each that crosses the least ink."""
    length, width = mask_HW.shape
    half = max(1, round(_BENDING * height))
    costs_HW = np.pad(mask_HW.astype(np.float64), ((0, 0), (half, half)), constant_values=2.0)
    starts_S = np.arange(0, width, max(1, round(height / 20)))
    columns_V = np.arange(2 * half + 1)
    aside_V = _STRAIGHT * np.abs(columns_V - half) / half
    best_SV = costs_HW[0, starts_S[:, None] + columns_V] + aside_V
    steps = np.zeros((length, *best_SV.shape), np.int8)
    for row in range(1, length):
        padded = np.pad(best_SV, ((0, 0), (1, 1)), constant_values=np.inf)
        ways = np.stack([padded[:, 1:-1], padded[:, :-2] + _BEND, padded[:, 2:] + _BEND])
        choice = ways.argmin(axis=0)
        steps[row] = np.array([0, -1, 1], np.int8)[choice]
        best_SV = np.take_along_axis(ways, choice[None], axis=0)[0]
        best_SV += costs_HW[row, starts_S[:, None] + columns_V] + aside_V
    place_S = best_SV.argmin(axis=1)
    places_HS = np.empty((length, len(starts_S)), np.int64)
    for row in range(length - 1, -1, -1):
        places_HS[row] = place_S
        place_S = place_S + steps[row, np.arange(len(starts_S)), place_S]
    return np.asarray(np.clip(places_HS + starts_S - half, 0, width - 1), np.int64)


def _apart(means_S: NDArray[np.float64], crossed_S: NDArray[np.float64], width: int, height: float) -> list[int]:
    """The numbers of the seams that cross least, from left to right."""
    between = max(2.0, _BETWEEN_CUTS * height)
    most = 2 * math.ceil(width / (0.5 * height))
    taken: list[int] = []
    for number in np.argsort(crossed_S, kind="stable").tolist():
        if crossed_S[number] > _THIN * height or len(taken) >= most:
            break
        if all(abs(means_S[number] - other) >= between for other in (0, width, *means_S[taken])):
            taken.append(number)
    return sorted(taken, key=lambda number: float(means_S[number]))


def _candidates(page: _Page, atoms: list[_Atom], spec: Drawing) -> Iterator[Candidate]:
    longest = _MAX_RUN if len(atoms) <= _MAX_ATOMS else 1
    for start in range(len(atoms)):
        for stop in range(start + 1, min(start + longest, len(atoms)) + 1):
            run = atoms[start:stop]
            left, right = min(atom.left for atom in run), max(atom.right for atom in run)
            if stop - start > 1:
                near = run[-1].group == run[-2].group or run[-1].left - run[-2].right <= _NEAR * page.height
                whole = len({atom.group for atom in run}) == 1 and _is_end(atoms, start) and _is_end(atoms, stop)
                if not near or (right - left > _WIDEST * page.height and not whole):
                    break
            doubt = _cut_doubt(atoms, start) + _cut_doubt(atoms, stop)
            doubt += _JOIN_DOUBT * (run[-1].group - run[0].group)
            yield Candidate(start, stop, _item(page, slice(start, stop), (left, right), spec), -doubt)


def _is_end(atoms: list[_Atom], place: int) -> bool:
    return place in (0, len(atoms)) or atoms[place - 1].group != atoms[place].group


def _cut_doubt(atoms: list[_Atom], place: int) -> float:
    return 0.0 if _is_end(atoms, place) else _CUT_DOUBT + _CROSSED_DOUBT * atoms[place].crossed


def _item(page: _Page, run: slice, bounds: tuple[int, int], spec: Drawing) -> Item:
    """The atoms of `run`, within the columns `bounds` when upright.

    Made half upright: what leans much is less so then, and what leans by mistake is not bent much.
    """
    strip_HW = page.atoms_HW[:, slice(*bounds)]
    of_run_HW = (strip_HW >= run.start) & (strip_HW < run.stop)
    rows = np.flatnonzero(of_run_HW.any(axis=1))
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    shifts_H = _shifts(page.slant, len(strip_HW))[top:bottom]
    rows, columns = np.nonzero(of_run_HW[top:bottom])
    columns += bounds[0] - shifts_H[rows]
    left, right = int(columns.min()), int(columns.max()) + 1
    mask_HW = np.zeros((bottom - top, right - left), np.uint8)
    mask_HW[rows, columns - left] = 255
    soft = Image.fromarray(mask_HW).filter(ImageFilter.MaxFilter(3))
    ink_HW = np.where(np.asarray(soft) > 0, page.ink.ink_HW[top:bottom, left:right], 0).astype(np.uint8)
    upright_HW = _sheared(ink_HW, _UPRIGHT * page.slant, page.ink.threshold)
    image_HWC = framed(upright_HW, page.ink.threshold, spec)[:, :, None]
    return Item(image_HWC, _box(page, (left, top, right, bottom)))


def _sheared(ink_HW: NDArray[np.uint8], slant: float, threshold: int) -> NDArray[np.uint8]:
    """As wide as its ink."""
    if not slant:
        return ink_HW
    height, width = ink_HW.shape
    room = math.ceil(abs(slant) * height)
    first = 0.0 if slant >= 0 else slant * height
    sheared = Image.fromarray(ink_HW).transform(
        (width + room, height), Image.Transform.AFFINE, (1, -slant, first, 0, 1, 0), Image.Resampling.BILINEAR
    )
    sheared_HW = np.asarray(sheared, np.uint8)
    columns = np.flatnonzero((sheared_HW >= threshold).any(axis=0))
    return sheared_HW[:, columns[0] : columns[-1] + 1] if len(columns) else sheared_HW


def _box(page: _Page, bounds: tuple[int, int, int, int]) -> Box:
    """In the picture's pixels, of (left, top, right, bottom)."""
    factor, (whole_width, whole_height) = page.ink.factor, page.size
    left, top = bounds[0] * factor, bounds[1] * factor
    right, bottom = min(bounds[2] * factor, whole_width), min(bounds[3] * factor, whole_height)
    return left, top, right - left, bottom - top
