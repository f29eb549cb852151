"""Everything that a server measures of itself, by name."""

from __future__ import annotations

import time
from collections import Counter as Counts
from collections.abc import Callable, Sequence
from typing import NamedTuple

from pileus.bundles import Manifest, Verdict
from pileus.bundles.disagreements import OUTCOMES
from pileus.serving.answers import STATUSES
from pileus.serving.drift import LEAST, Seen
from pileus.serving.frames import Tally
from pileus.serving.metrics import (
    BATCHES,
    SECONDS,
    TENTHS,
    Computed,
    Counter,
    Gauge,
    Histogram,
    Metric,
    Slot,
    Values,
    rendered,
)

ROUTES = (
    "/",
    "/livez",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/v1/bundles",
    "/v1/feedback",
    "/v1/models",
    "/v1/predict",
    "/v2",
    "/v2/health",
    "/v2/infer",
    "/v2/models",
    "asset",
    "other",
)
VERDICTS: tuple[Verdict, ...] = ("certain", "unsure", "rejected")
SHED = ("queue", "memory", "deadline")


class Now(NamedTuple):
    """What is read when metrics are told."""

    ready: Callable[[], float]
    queued: Callable[[], float]
    under_way: Callable[[], float]
    connections: Callable[[], float]
    predictors: Callable[[], float]
    version: Callable[[], str]
    """Of the model that answers: 16 hexadecimal digits, or none."""


def _nothing() -> float:
    return 0.0


def no_readings() -> Now:
    """Of a process that serves nothing."""
    return Now(_nothing, _nothing, _nothing, _nothing, _nothing, str)


class Instruments:
    """`page` has one slot a process; this one writes the slot `number`. Without a page it has memory of its own."""

    def __init__(self, now: Now, page: Values | None = None, number: int = 0) -> None:
        slot = Slot()
        self._now = now
        self.requests = Counter(
            slot,
            "pileus_requests_total",
            "Answered requests.",
            {"route": ROUTES, "status": [str(status) for status in STATUSES]},
        )
        self.verdicts = Counter(slot, "pileus_predictions_total", "Items answered, by verdict.", {"verdict": VERDICTS})
        self.shed = Counter(slot, "pileus_shed_total", "Predictions refused or given up, by cause.", {"cause": SHED})
        self.lost = Counter(slot, "pileus_predictors_lost_total", "Predictors replaced.", {"cause": ("died", "silent")})
        self.swaps = Counter(slot, "pileus_swaps_total", "Changes of the model.", {"outcome": ("done", "refused")})
        self.fronts_lost = Counter(slot, "pileus_fronts_lost_total", "Fronts that died and were started again.")
        self.shadow = Counter(
            slot, "pileus_shadow_total", "Answers asked again of the shadow, by outcome.", {"outcome": OUTCOMES}
        )
        self.request_s = Histogram(
            slot, "pileus_request_seconds", "From the head of a request to its answer.", SECONDS, ("route", ROUTES)
        )
        self.queue_s = Histogram(slot, "pileus_queue_seconds", "A batch's oldest question, until it was sent.", SECONDS)
        self.batch_images = Histogram(slot, "pileus_batch_images", "Images computed at once.", BATCHES)
        self.batch_s = Histogram(slot, "pileus_batch_seconds", "Time of one batch in its predictor.", SECONDS)
        self.confidence = Histogram(slot, "pileus_confidence", "Highest probability of an item.", TENTHS)
        self.ink = Histogram(slot, "pileus_input_mean", "Mean of an image's bytes over 255: its ink.", TENTHS)
        self._gauges = [
            Gauge(slot, "pileus_ready", "Fronts that are warm and not draining.", now.ready),
            Gauge(slot, "pileus_queue_images", "Questions that wait for a predictor.", now.queued),
            Gauge(slot, "pileus_predictions_under_way", "Questions between queue and answer.", now.under_way),
            Gauge(slot, "pileus_connections", "Open connections.", now.connections),
            Gauge(slot, "pileus_predictors", "Predictors that are warm and not silent.", now.predictors),
        ]
        self._metrics: list[Metric] = [
            self.requests, self.verdicts, self.shed, self.lost, self.swaps, self.fronts_lost, self.shadow,
            self.request_s, self.queue_s, self.batch_images, self.batch_s, self.confidence, self.ink, *self._gauges,
        ]  # fmt: skip
        self._seen = Seen(slot)
        self._version_place = slot.take(2)
        """Of the front's model, in two halves, for a float64 does not hold the whole."""
        self._drift = Computed("pileus_drift", f"Population stability index of the last {LEAST} items or more.", "of")
        self._drift_items = Computed("pileus_drift_items", "Items that the drift is told of.")
        self._versions = Computed("pileus_model_fronts", "Fronts that are ready, by their model's version.", "version")
        self._model = Computed("pileus_model_info", "The model that answers.", "name", "version")
        self._page = memoryview(bytearray(8 * slot.num_places)).cast("d") if page is None else page
        self.num_places = slot.num_places
        slot.bind(self._slot(number))
        self._values = slot.values
        self.forget_now()

    def tally(self, tally: Tally, compute_s: float) -> None:
        self.batch_images.observe(tally.images)
        self.batch_s.observe(compute_s)
        for verdict, num in zip(VERDICTS, tally.verdicts, strict=True):
            self.verdicts.add(verdict, amount=num)
        self.confidence.add_counts(tally.confidence, _middle_sum(tally.confidence))
        self.ink.add_counts(tally.ink, _middle_sum(tally.ink))
        if tally.bins:
            self._seen.add(tally.model, tally.bins, time.monotonic())

    def note_now(self) -> None:
        for gauge in self._gauges:
            gauge.note()
        version, place = self._now.version().rjust(16, "0"), self._version_place
        self._values[place], self._values[place + 1] = int(version[:8], 16), int(version[8:], 16)

    def forget_now(self) -> None:
        for gauge in self._gauges:
            self._values[gauge.place] = 0

    def forget_slot(self, number: int) -> None:
        """Of a process that has ended: it is nothing any more, but what it counted stays."""
        for gauge in self._gauges:
            self._slot(number)[gauge.place] = 0

    def told(self, manifest: Manifest) -> bytes:
        """In Prometheus' text format, the sum over all processes."""
        self.note_now()
        slots = [self._slot(number) for number in range(len(self._page) // self.num_places)]
        num_items, drift = self._seen.stability(manifest, slots, time.monotonic())
        return b"".join(
            (
                rendered(self._metrics, slots),
                self._model.told({(manifest.name, manifest.short_version): 1}),
                self._versions.told(self._fronts_by_version(slots)),
                self._drift_items.told({} if manifest.reference is None else {(): num_items}),
                self._drift.told({(feature,): index for feature, index in drift.items()}),
            )
        )

    @property
    def described(self) -> list[Metric | Computed]:
        """All that is told, in order."""
        return [*self._metrics, self._model, self._versions, self._drift_items, self._drift]

    def _fronts_by_version(self, slots: Sequence[Values]) -> dict[tuple[str, ...], float]:
        ready, place = self._gauges[0].place, self._version_place
        return dict(Counts((f"{int(v[place]):08x}{int(v[place + 1]):08x}",) for v in slots if v[ready]))

    def _slot(self, number: int) -> Values:
        return self._page[number * self.num_places : (number + 1) * self.num_places]


def num_places() -> int:
    """Of one process's slot on a page."""
    return Instruments(no_readings()).num_places


def _middle_sum(tenths: list[int]) -> float:
    """The sum of the values, each taken as the middle of its tenth."""
    return sum(num * (number + 0.5) / 10 for number, num in enumerate(tenths))
