"""What production and its shadow answered otherwise, as a person looks at it."""

from __future__ import annotations

import base64
import datetime
from typing import NamedTuple

import msgspec
import numpy as np

from pileus.bundles.disagreements import DISAGREEMENTS, Case, Pair, ToldItem, compared_pairs
from pileus.bundles.manifest import Manifest
from pileus.bundles.registry import Registry
from pileus.errors import UsageError
from pileus.measure.report import Tile, data_uri, render_page

_MOST_BYTES_SHOWN = 256 * 1024
"""Of a picture that the page shows as it was sent."""
_PEN = 0.04
"""Width of a line, of the longer side of a drawing."""

_WORDS = {
    "items": "another number of items",
    "label": "another label",
    "verdict": "the same labels, another verdict",
}


class Comparison(NamedTuple):
    pairs: list[Pair]
    """All that were ever compared here."""
    shown: Pair
    """Production and its shadow, or else the last that were compared."""
    cases: list[Case]
    """Of `shown`, the newest first."""


class Sketch(NamedTuple):
    """Strokes as SVG."""

    view: str
    pen: float
    lines: list[str]


class Portrait(NamedTuple):
    """One case on the page."""

    picture: str
    """Data URI, or empty."""
    sketch: Sketch | None
    words: str
    production: str
    shadow: str
    when: str
    request_id: str


def compare_answers(registry: Registry) -> Comparison:
    """UsageError where nothing was compared yet."""
    roles = registry.roles()
    found = [(each.pair(), each) for each in compared_pairs(registry.store)]
    found.sort(key=lambda one: one[0].counts.since_s if one[0].counts else 0.0)
    now = [one for one in found if _is_pair(one[0], roles.production, roles.shadow)]
    if not found or (roles.shadow is not None and not now):
        raise UsageError(
            f"no answers were compared in {registry.place} yet; name a shadow (pileus registry shadow), serve the "
            "registry and ask it."
        )
    shown, disagreements = now[0] if now else found[-1]
    return Comparison([pair for pair, _ in found], shown, disagreements.cases())


def comparison_page(registry: Registry, comparison: Comparison) -> str:
    """One page that needs nothing else. MissingExtra without what reports are drawn with."""
    pair = comparison.shown
    counts = pair.counts.by_outcome if pair.counts else {}
    compared = pair.num_compared
    share = counts.get("agreed", 0) / compared if compared else 0.0
    version = registry.find(pair.production)
    manifest = registry.manifest(version) if version else None
    return render_page(
        "disagreements.html",
        package="pileus.operations",
        facts={"registry": registry.place, "production": pair.production, "shadow": pair.shadow},
        tiles=[
            Tile("agreed", f"{share:.2%}", f"of {compared:,} answers compared"),
            *(Tile(_WORDS[kind], f"{counts.get(kind, 0):,}") for kind in DISAGREEMENTS),
            Tile("not answered", f"{counts.get('failed', 0):,}", "by the shadow"),
            Tile("not compared", f"{counts.get('dropped', 0):,}", "the shadow had no time"),
        ],
        portraits=[_portrait(case, manifest) for case in comparison.cases],
    )


def _is_pair(pair: Pair, production: str | None, shadow: str | None) -> bool:
    return bool(production and shadow and (pair.production, pair.shadow) == (production[:16], shadow[:16]))


def _portrait(case: Case, manifest: Manifest | None) -> Portrait:
    drawn = case.media_type == "application/json"
    when = datetime.datetime.fromtimestamp(case.at_s, datetime.UTC)
    return Portrait(
        picture="" if drawn else _picture(case, manifest),
        sketch=_sketch(case) if drawn else None,
        words=_WORDS[case.outcome],
        production=told(case.production),
        shadow=told(case.shadow),
        when=f"{when:%Y-%m-%d %H:%M:%S} UTC",
        request_id=case.request_id,
    )


def told(prediction: dict[str, object]) -> str:
    """As '4 0? -': what is unsure has a mark, what is rejected is a dash."""
    items = msgspec.convert(prediction["items"], list[ToldItem])
    return " ".join(f"{item.label or '-'}{'?' if item.verdict == 'unsure' else ''}" for item in items)


def _picture(case: Case, manifest: Manifest | None) -> str:
    """Data URI, empty where there is nothing that can be shown."""
    if case.media_type == "application/octet-stream":
        if manifest is None or len(case.input) != int(np.prod(manifest.input_shape)):
            return ""
        return data_uri(np.frombuffer(case.input, np.uint8).reshape(manifest.input_shape))
    if case.media_type not in ("image/png", "image/jpeg") or len(case.input) > _MOST_BYTES_SHOWN:
        return ""
    return f"data:{case.media_type};base64,{base64.b64encode(case.input).decode()}"


def _sketch(case: Case) -> Sketch | None:
    try:
        strokes = msgspec.json.decode(case.input, type=_Body).strokes
    except msgspec.MsgspecError:
        return None
    points = np.array([point[:2] for stroke in strokes for point in stroke], np.float64)
    if not len(points) or not np.isfinite(points).all():
        return None
    low, size = points.min(axis=0), np.ptp(points, axis=0)
    side = max(float(size.max()), 1.0)
    edge = side * _PEN * 2
    view = f"{low[0] - edge:.6g} {low[1] - edge:.6g} {size[0] + 2 * edge:.6g} {size[1] + 2 * edge:.6g}"
    dotted = [stroke * 2 if len(stroke) == 1 else stroke for stroke in strokes]  # a line of no length is a dot
    lines = [" ".join(f"{point[0]:.6g},{point[1]:.6g}" for point in stroke) for stroke in dotted]
    return Sketch(view, side * _PEN, lines)


class _Body(msgspec.Struct):
    strokes: list[list[list[float]]]
