"""What users are given to watch a server with names only what a server tells, and leaves none of it out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from pileus.serving.instruments import Instruments, no_readings
from tests.house.tree import ROOT

_FOLDER = ROOT / "docs" / "monitoring"
_NAME = re.compile(r"\bpileus_[a-z_]+")
_METRICS = {metric.name: metric for metric in Instruments(no_readings()).described}


def series() -> set[str]:
    """Names of all that Prometheus keeps of a server."""
    parts = ("_bucket", "_sum", "_count")
    return {
        metric.name + part for metric in _METRICS.values() for part in (parts if metric.kind == "histogram" else ("",))
    }


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((_FOLDER / "grafana.json").read_text(encoding="utf-8"))["panels"]
    return found


def expressions() -> Iterator[str]:
    """Of all queries of the dashboard."""
    for panel in panels():
        yield from (target["expr"] for target in panel.get("targets", ()))


def test_every_query_names_what_is_told() -> None:
    for expression in expressions():
        named = _NAME.findall(expression)
        assert named and set(named) <= series(), expression
        labels = re.search(r"sum by \(([^)]*)\)", expression)
        base = next(metric for metric in _METRICS.values() if named[0].startswith(metric.name))
        assert set(labels[1].split(", ") if labels else ()) <= {*base.labels, "le"}, expression


def test_every_metric_is_on_the_dashboard_once() -> None:
    descriptions = [panel["description"] for panel in panels() if panel["type"] != "row"]
    assert sorted(_NAME.search(text)[0] for text in descriptions if _NAME.search(text)) == sorted(_METRICS)  # type: ignore[index]


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken and max(x for x, _ in cells) < 24
        taken |= cells


def test_alerts_name_what_is_told() -> None:
    text = (_FOLDER / "alerts.yml").read_text(encoding="utf-8")
    named = {name for line in text.splitlines() if "expr:" in line for name in _NAME.findall(line)}
    assert named and named <= series()


def test_the_page_explains_every_metric_and_no_other() -> None:
    text = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    rows = {name for line in text.splitlines() if line.startswith("| `pileus_") for name in _NAME.findall(line[:60])}
    assert rows == set(_METRICS)


def test_the_page_names_every_alert() -> None:
    alerts = re.findall(r"- alert: (\w+)", (_FOLDER / "alerts.yml").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    assert alerts and all(f"`{name}`" in page for name in alerts)
