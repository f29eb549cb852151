"""Draw docs/architecture.svg from the real imports and the layers of .importlinter.

    python -m scripts.draw_architecture

One box a room, one row a layer, one arrow where a room imports another. An arrow that follows from others (a room
imports what its neighbour imports too) is left out. Equal code gives equal bytes; a test holds the committed
picture to that.
"""

from __future__ import annotations

import ast
import configparser
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

import grimp

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "architecture.svg"
PACKAGE = ROOT / "src" / "pileus"

_COLUMN_OF_ROOM = {"api": 2, "serving": 2, "bundles": 2, "measure": 0, "runs": 0, "data": 0, "records": 0, "recipes": 2}
"""Left: what is written and measured; middle, where nothing is said: what acts; right: what is handed on."""
_BOX_WIDTH, _BOX_HEIGHT = 250, 62
_GUTTER, _GAP, _MARGIN = 70, 34, 24
_LANE = 7
"""Pixels between arrows that run side by side."""
_BEND = 8
_TEXT_CHARS = 38
_WIDTH = 2 * _MARGIN + 3 * _BOX_WIDTH + 2 * _GUTTER

Rooms = Mapping[str, set[str]]
"""By room, the rooms that it imports."""


class Box(NamedTuple):
    room: str
    row: int
    column: int

    @property
    def left(self) -> int:
        return _MARGIN + self.column * (_BOX_WIDTH + _GUTTER)

    @property
    def top(self) -> int:
        return _MARGIN + self.row * (_BOX_HEIGHT + _GAP)


class Arrow(NamedTuple):
    tail: Box
    head: Box
    gutter: int | None
    """It runs down the space left of this column; None: it goes straight."""


def draw() -> str:
    """The picture as SVG text."""
    rooms = read_rooms()
    boxes = _place(read_layers(), rooms)
    arrows = _route(boxes, reduce_to_necessary(rooms))
    height = max(box.top for box in boxes.values()) + _BOX_HEIGHT + _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" '
        f'height="{height}" font-family="system-ui, sans-serif">',
        "<title>The rooms of Pileus and who imports whom</title>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0 8 4 0 8z" fill="#5b6b82"/></marker></defs>',
        f'<rect width="{_WIDTH}" height="{height}" rx="10" fill="#ffffff"/>',
        *_draw_arrows(arrows),
        *(_draw_box(box) for box in boxes.values()),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def read_layers() -> list[list[str]]:
    """The rooms of .importlinter, row by row from the top, absent ones included."""
    config = configparser.ConfigParser()
    config.read(ROOT / ".importlinter", encoding="utf-8")
    rows = config["importlinter:contract:layers"]["layers"].split("\n")
    return [[name.strip(" ()") for name in row.split("|")] for row in rows if row.strip()]


def read_rooms() -> Rooms:
    """Every room that has Python in it, with the rooms that it imports."""
    graph = grimp.build_graph("pileus", cache_dir=None)
    rooms: dict[str, set[str]] = {}
    for module in graph.modules:
        room = _room_of(module)
        found = {_room_of(imported) for imported in graph.find_modules_directly_imported_by(module)}
        rooms.setdefault(room, set()).update(found - {room, ""})
    return {room: imported for room, imported in rooms.items() if room not in ("", "__main__")}


def reduce_to_necessary(rooms: Rooms) -> list[tuple[str, str]]:
    """The pairs (importer, imported) from which all others follow, sorted."""

    def reaches(start: str, goal: str) -> bool:
        return any(each == goal or reaches(each, goal) for each in rooms[start])

    return sorted(
        (room, goal)
        for room, imported in rooms.items()
        for goal in imported
        if not any(reaches(other, goal) for other in imported - {goal})
    )


def _room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def _place(layers: Sequence[Sequence[str]], rooms: Rooms) -> dict[str, Box]:
    present = [[room for room in layer if room in rooms] for layer in layers]
    return {
        room: Box(room, row, _COLUMN_OF_ROOM.get(room, 1))
        for row, layer in enumerate(filter(None, present))
        for room in layer
    }


def _route(boxes: Mapping[str, Box], pairs: Iterable[tuple[str, str]]) -> list[Arrow]:
    arrows = []
    taken = {(box.row, box.column) for box in boxes.values()}
    for importer, imported in pairs:
        tail, head = boxes[importer], boxes[imported]
        between = range(tail.row + 1, head.row)
        clear = tail.column == head.column and not any((row, tail.column) in taken for row in between)
        gutter = None if clear or not between else max(1, tail.column, head.column)
        arrows.append(Arrow(tail, head, gutter))
    return sorted(arrows, key=lambda arrow: (arrow.tail.row, arrow.head.row, arrow.tail.column, arrow.head.column))


def _draw_arrows(arrows: Sequence[Arrow]) -> Iterable[str]:
    lanes: Counter[int] = Counter()
    for arrow in arrows:
        start_x = _port(arrow, arrow.tail, [each for each in arrows if each.tail == arrow.tail])
        end_x = _port(arrow, arrow.head, [each for each in arrows if each.head == arrow.head])
        start_y, end_y = arrow.tail.top + _BOX_HEIGHT, arrow.head.top - 2
        if arrow.gutter is None:
            middle = (start_y + end_y) // 2
            path = f"M{start_x} {start_y}C{start_x} {middle} {end_x} {middle} {end_x} {end_y}"
        else:
            lane = lanes[arrow.gutter]
            lanes[arrow.gutter] += 1
            x = _MARGIN + arrow.gutter * (_BOX_WIDTH + _GUTTER) - _GUTTER // 2
            x += _LANE * ((lane + 1) // 2) * (-1 if lane % 2 else 1)
            path = _through_gutter((start_x, start_y), x, (end_x, end_y))
        yield f'<path d="{path}" fill="none" stroke="#5b6b82" stroke-width="1.3" marker-end="url(#head)"/>'


def _port(arrow: Arrow, box: Box, siblings: Sequence[Arrow]) -> int:
    """Where an arrow leaves or enters a box, so that those that share the edge do not cross beside it."""

    def side(each: Arrow) -> tuple[float, int]:
        far = each.head if box == each.tail else each.tail
        return (float(far.column) if each.gutter is None else each.gutter - 0.5), far.row

    place = sorted(siblings, key=side).index(arrow)
    return box.left + _BOX_WIDTH * (place + 1) // (len(siblings) + 1)


def _through_gutter(start: tuple[int, int], x: int, end: tuple[int, int]) -> str:
    """Down out of the box, across to `x`, down the gutter, across to the goal and down into it."""
    upper, lower = start[1] + _GAP // 2, end[1] - _GAP // 2
    first = _BEND if x > start[0] else -_BEND
    last = _BEND if end[0] > x else -_BEND
    return (
        f"M{start[0]} {start[1]}V{upper - _BEND}q0 {_BEND} {first} {_BEND}H{x - first}q{first} 0 {first} {_BEND}"
        f"V{lower - _BEND}q0 {_BEND} {last} {_BEND}H{end[0] - last}q{last} 0 {last} {_BEND}V{end[1]}"
    )


def _draw_box(box: Box) -> str:
    lines = textwrap.wrap(_purpose(box.room), _TEXT_CHARS, max_lines=2, placeholder=" …")
    text = "".join(
        f'<text x="{box.left + 12}" y="{box.top + 36 + 14 * index}" font-size="11" fill="#44546a">{escape(line)}</text>'
        for index, line in enumerate(lines)
    )
    return (
        f'<rect x="{box.left}" y="{box.top}" width="{_BOX_WIDTH}" height="{_BOX_HEIGHT}" rx="7" '
        f'fill="#eef4fb" stroke="#7aa2d2"/><text x="{box.left + 12}" y="{box.top + 19}" font-size="14" '
        f'font-weight="600" fill="#16324f">{escape(box.room)}</text>{text}'
    )


def _purpose(room: str) -> str:
    """The first sentence of the room's docstring."""
    package = PACKAGE / room / "__init__.py"
    path = package if package.exists() else PACKAGE / f"{room}.py"
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    paragraph = " ".join(docstring.split("\n\n")[0].split())
    return paragraph.partition(". ")[0].rstrip(".:").replace("`", "")


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
    print(f"wrote {PICTURE.relative_to(ROOT)}")
