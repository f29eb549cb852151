"""Write docs/monitoring/grafana.json: a dashboard of all that a server measures, from the list that it measures by.

    python -m scripts.draw_dashboard

A counter is shown as its rate by label, a histogram by its quantiles, a gauge as it is, by server.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pileus.serving.instruments import Instruments, no_readings
from pileus.serving.metrics import Computed, Metric

ROOT = Path(__file__).resolve().parent.parent
DASHBOARD = ROOT / "docs" / "monitoring" / "grafana.json"

ROWS = {
    "Requests": (
        "pileus_requests_total",
        "pileus_request_seconds",
        "pileus_shed_total",
        "pileus_connections",
    ),
    "Queue and batches": (
        "pileus_queue_seconds",
        "pileus_queue_images",
        "pileus_predictions_under_way",
        "pileus_batch_images",
        "pileus_batch_seconds",
    ),
    "Answers and drift": (
        "pileus_predictions_total",
        "pileus_confidence",
        "pileus_input_mean",
        "pileus_drift",
        "pileus_drift_items",
    ),
    "Model and processes": (
        "pileus_model_info",
        "pileus_model_fronts",
        "pileus_swaps_total",
        "pileus_shadow_total",
        "pileus_ready",
        "pileus_predictors",
        "pileus_predictors_lost_total",
        "pileus_fronts_lost_total",
    ),
}
"""Metrics that stand in none of them make a last one."""

_RARE = ("pileus_swaps_total", "pileus_predictors_lost_total", "pileus_fronts_lost_total")
"""Counters that are shown by how often, not how fast they rise."""
_QUANTILES = (0.5, 0.9, 0.99)
_OF_DRIFT = ((0.0, "green"), (0.1, "yellow"), (0.25, "red"))
_WIDTH, _HEIGHT = 8, 7
_COLUMNS = 24
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_SELECTED = '{instance=~"$instance"}'


class Query(NamedTuple):
    expression: str
    legend: str


def dashboard() -> str:
    """The dashboard's JSON; equal for equal code."""
    metrics = {metric.name: metric for metric in Instruments(no_readings()).described}
    panels: list[dict[str, Any]] = []
    top = 0
    more = tuple(name for name in metrics if not any(name in names for names in ROWS.values()))
    for title, names in [*ROWS.items(), *([("More", more)] if more else [])]:
        panels.append({"type": "row", "title": title, "collapsed": False, "gridPos": _place(0, top, _COLUMNS, 1)})
        for number, name in enumerate(names):
            row, column = divmod(number, _COLUMNS // _WIDTH)
            place = _place(column * _WIDTH, top + 1 + row * _HEIGHT, _WIDTH, _HEIGHT)
            panels.append({**_panel(metrics[name]), "gridPos": place})
        top += 1 + -(-len(names) * _WIDTH // _COLUMNS) * _HEIGHT
    for number, panel in enumerate(panels, start=1):
        panel["id"] = number
    document = {
        "uid": "pileus-serving",
        "title": "Pileus: serving",
        "tags": ["pileus"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": list(_variables())},
        "panels": panels,
    }
    return json.dumps(document, indent=1) + "\n"


def queries(metric: Metric | Computed) -> Iterator[Query]:
    """What of a metric is drawn."""
    legend = " ".join(f"{{{{{label}}}}}" for label in metric.labels) or metric.name
    if metric.kind == "counter":
        summed = f"sum by ({', '.join(metric.labels)})" if metric.labels else "sum"
        function = "increase" if metric.name in _RARE else "rate"
        yield Query(f"{summed} ({function}({metric.name}{_SELECTED}[$__rate_interval]))", legend)
    elif metric.kind == "gauge":
        yield Query(f"{metric.name}{_SELECTED}", f"{legend} {{{{instance}}}}")
    else:
        for quantile in _QUANTILES:
            yield Query(_quantile(metric.name, quantile, ("le",)), f"p{quantile * 100:g}")
        if metric.labels:
            yield Query(_quantile(metric.name, _QUANTILES[-1], ("le", *metric.labels)), f"p99 {legend}")


def _quantile(name: str, quantile: float, labels: tuple[str, ...]) -> str:
    return (
        f"histogram_quantile({quantile}, "
        f"sum by ({', '.join(labels)}) (rate({name}_bucket{_SELECTED}[$__rate_interval])))"
    )


def _panel(metric: Metric | Computed) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": _unit(metric), "min": 0}
    if metric.name == "pileus_drift":
        steps = [{"value": value or None, "color": color} for value, color in _OF_DRIFT]
        defaults |= {"thresholds": {"mode": "absolute", "steps": steps}}
        defaults |= {"custom": {"thresholdsStyle": {"mode": "line"}}}
    return {
        "type": "timeseries",
        "title": metric.text.rstrip("."),
        "description": f"{metric.name}: see docs/monitoring.md",
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + number), "datasource": _SOURCE, "expr": expression, "legendFormat": legend}
            for number, (expression, legend) in enumerate(queries(metric))
        ],
    }


def _unit(metric: Metric | Computed) -> str:
    if metric.name.endswith("_seconds"):
        return "s"
    return "cps" if metric.kind == "counter" and metric.name not in _RARE else "short"


def _variables() -> Iterator[dict[str, Any]]:
    yield {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
    yield {
        "name": "instance",
        "label": "Server",
        "type": "query",
        "datasource": _SOURCE,
        "query": "label_values(pileus_ready, instance)",
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _place(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}


if __name__ == "__main__":
    DASHBOARD.parent.mkdir(exist_ok=True)
    DASHBOARD.write_text(dashboard(), encoding="utf-8")
    print(f"wrote {DASHBOARD.relative_to(ROOT)}")
