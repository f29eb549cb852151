"""What a server tells at /metrics, read by the parser of Prometheus' own client and held to the format's rules."""

from __future__ import annotations

import math
from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

Samples = Mapping[str, float]
"""By name and labels, as they stand in the text."""


def samples_of(text: str) -> Samples:
    """An AssertionError where the text breaks a rule: types, repetitions, buckets that do not add up."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        assert family.type in ("counter", "gauge", "histogram") and family.documentation, family
        assert family.name not in {name.partition("{")[0] for name in found}, f"{family.name} comes twice"
        buckets: dict[str, list[float]] = {}
        for sample in family.samples:
            assert math.isfinite(sample.value) and (family.type == "gauge" or sample.value >= 0), sample
            name = _shown(sample.name, sample.labels)
            assert name not in found, f"{name} comes twice"
            found[name] = sample.value
            if sample.name.endswith("_bucket"):
                rest = {label: value for label, value in sample.labels.items() if label != "le"}
                buckets.setdefault(_shown(family.name + "_count", rest), []).append(sample.value)
        for count, values in buckets.items():
            assert values == sorted(values) and values[-1] == found[count], count
    assert text.endswith("\n") and len(found) == sum(not line.startswith("#") for line in text.splitlines())
    return found


def assert_no_counter_goes_back(before: Samples, after: Samples) -> None:
    for name, value in before.items():
        if name.partition("{")[0].endswith(("_total", "_bucket", "_count", "_sum")):
            assert after.get(name, 0.0) >= value, f"{name} was {value} and is {after.get(name)}"


def _shown(name: str, labels: Mapping[str, str]) -> str:
    pairs = ",".join(f'{label}="{value}"' for label, value in labels.items())
    return f"{name}{{{pairs}}}" if pairs else name
