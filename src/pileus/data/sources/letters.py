"""Latin letters that nobody takes for a digit, as pens and presses make them, out of a few strokes each.

Upright, slanted, narrow, wide, uneven, with and without serifs; alike enough to be letters and never twice the same.
Those that pass for digits (B, b, D, G, g, I, i, J, j, L, l, O, o, Q, q, S, s, T, t, y, Z, z) are not among them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pileus.data.sources.scribbles import Chances, Lines, turned

_FORMS: dict[str, tuple[str, ...]] = {
    "A": ("0,1 .4,0 .8,1; .15,.65 .65,.65", "0,1 .4,0; .4,0 .8,1; .15,.6 .65,.6"),
    "C": ("~.7,.15 .4,0 .08,.25 .05,.7 .4,1 .7,.85", "~.65,.2 .35,.02 0,.5 .35,.98 .65,.8"),
    "E": ("0,0 0,1; 0,0 .6,0; 0,.5 .5,.5; 0,1 .6,1", ".6,0 0,0 0,1 .6,1; 0,.5 .45,.5"),
    "F": ("0,0 0,1; 0,0 .6,0; 0,.48 .5,.48", ".6,0 0,0 0,1; 0,.5 .45,.5"),
    "H": ("0,0 0,1; .7,0 .7,1; 0,.5 .7,.5", "0,0 0,1; .55,0 .55,1; 0,.45 .55,.5"),
    "K": ("0,0 0,1; .6,0 0,.55; .2,.4 .65,1", "0,0 0,1; .6,0 .02,.5 .6,1"),
    "M": ("0,1 0,0 .42,.7 .85,0 .85,1", "0,1 .1,0 .45,.95 .8,0 .9,1", "0,0 0,1; 0,0 .42,1; .42,1 .85,0; .85,0 .85,1"),
    "N": ("0,1 0,0 .7,1 .7,0", "0,0 0,1; 0,0 .65,1; .65,0 .65,1"),
    "P": ("0,0 0,1; ~0,0 .4,.02 .6,.27 .4,.52 0,.54",),
    "R": ("0,0 0,1; ~0,0 .4,.02 .58,.25 .4,.48 0,.5; .3,.5 .65,1",),
    "U": ("~0,0 0,.6 .12,.92 .35,1 .58,.92 .7,.6 .7,0",),
    "V": ("0,0 .38,1 .76,0", "0,0 .35,1; .35,1 .7,0"),
    "W": (
        "0,0 .25,1 .5,.25 .75,1 1,0",
        "0,0 .27,1 .52,0 .77,1 1.04,0",
        "~0,0 .1,.7 .25,1 .45,.8 .5,.3 .6,.8 .75,1 .9,.7 1,0",
    ),
    "X": ("0,0 .7,1; .7,0 0,1",),
    "Y": ("0,0 .35,.5 .35,1; .7,0 .35,.5", "0,0 .35,.5; .7,0 .35,.5; .35,.5 .35,1"),
    "a": (
        "~.05,.55 .2,.43 .4,.43 .5,.55 .5,1; ~.5,.68 .2,.68 .04,.84 .2,1 .42,.93 .5,.85",
        "~.5,.5 .25,.4 .03,.7 .22,1 .48,.85; .5,.42 .5,1",
    ),
    "c": ("~.5,.5 .28,.4 .04,.7 .28,1 .5,.9",),
    "d": ("~.5,.55 .25,.42 .03,.7 .25,1 .5,.88; .5,0 .5,1",),
    "e": ("~.05,.7 .5,.68 .45,.47 .25,.4 .03,.7 .25,1 .5,.9",),
    "f": ("~.5,.06 .36,0 .22,.15 .2,.4 .2,1; 0,.42 .42,.42",),
    "h": ("0,0 0,1; ~0,.6 .2,.42 .4,.48 .45,.65 .45,1",),
    "k": ("0,0 0,1; .45,.42 0,.75; .15,.66 .5,1",),
    "m": ("0,.42 0,1; ~0,.6 .18,.42 .34,.48 .38,.65 .38,1; ~.38,.6 .56,.42 .72,.48 .76,.65 .76,1",),
    "n": ("0,.42 0,1; ~0,.6 .2,.42 .4,.48 .45,.65 .45,1",),
    "p": ("0,.42 0,1.38; ~0,.55 .25,.42 .48,.7 .25,1 0,.88",),
    "r": ("0,.42 0,1; ~0,.62 .12,.46 .3,.42 .36,.46",),
    "u": ("~0,.42 .02,.8 .2,1 .42,.85 .45,.7; .45,.42 .45,1",),
    "v": ("0,.42 .25,1 .5,.42",),
    "w": ("0,.42 .18,1 .36,.5 .54,1 .72,.42", "~0,.42 .08,.85 .18,1 .32,.85 .36,.55 .4,.85 .54,1 .66,.85 .72,.42"),
    "x": ("0,.42 .48,1; .48,.42 0,1",),
}
"""By letter its forms: strokes between semicolons, the points of each as x,y with y downwards, capitals 1 high. Curves,
which go through their points, begin with a tilde."""
LETTERS = "".join(_FORMS)
_SERIF = 0.11


def letter(chances: Chances) -> Lines:
    """One of them."""
    form = chances.pick(_FORMS[chances.pick(LETTERS)])
    uneven, has_serifs = chances.between(0.0, 0.05), chances.whole(0, 3) == 0
    lines = [_line(stroke.strip(), chances, uneven) for stroke in form.split(";")]
    if has_serifs:
        lines += [serif for line in lines for serif in _serifs(line)]
    wide, slant = chances.between(0.6, 1.5), chances.between(-0.15, 0.4)
    leaning = [line @ np.array([[wide, 0.0], [-slant, 1.0]]) for line in lines]
    return turned(leaning, chances.between(-10.0, 10.0))


def _line(stroke: str, chances: Chances, uneven: float) -> NDArray[np.float64]:
    is_curve = stroke.startswith("~")
    points = np.array([[float(part) for part in point.split(",")] for point in stroke.removeprefix("~").split()])
    points += np.array([chances.between(-uneven, uneven) for _ in range(points.size)]).reshape(points.shape)
    return _curve(points) if is_curve else points


def _curve(points_P2: NDArray[np.float64]) -> NDArray[np.float64]:
    """Through all points, smoothly (Catmull and Rom, "A class of local interpolating splines", 1974)."""
    before, after = 2 * points_P2[0] - points_P2[1], 2 * points_P2[-1] - points_P2[-2]
    path = np.concatenate([before[None], points_P2, after[None]])
    time = np.linspace(0.0, 1.0, 8)[:, None]
    pieces = []
    for place in range(len(points_P2) - 1):
        one, two, three, four = path[place : place + 4]
        linear, square, cubic = three - one, 2 * one - 5 * two + 4 * three - four, 3 * (two - three) + four - one
        pieces.append(two + 0.5 * (linear * time + square * time**2 + cubic * time**3))
    return np.concatenate(pieces)


def _serifs(line_P2: NDArray[np.float64]) -> Lines:
    """Bars across the ends of what stands."""
    ends = [(line_P2[0], line_P2[1]), (line_P2[-1], line_P2[-2])]
    return [
        end + np.array([[-_SERIF, 0.0], [_SERIF, 0.0]])
        for end, next_ in ends
        if abs(end[1] - next_[1]) > abs(end[0] - next_[0])
    ]
