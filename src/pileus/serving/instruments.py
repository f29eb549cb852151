"""Everything that a server measures of itself, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pileus.bundles import Manifest, Verdict
from pileus.serving.answers import STATUSES
from pileus.serving.frames import Tally
from pileus.serving.metrics import (
    BATCHES,
    SECONDS,
    TENTHS,
    Counter,
    Gauge,
    Histogram,
    Metric,
    Slot,
    Values,
    info_line,
    rendered,
)

ROUTES = (
    "/",
    "/livez",
    "/readyz",
    "/metrics",
    "/v1/bundles",
    "/v1/feedback",
    "/v1/models",
    "/v1/predict",
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


def no_readings() -> Now:
    """Of a process that serves nothing."""
    return Now(*[lambda: 0.0] * 5)


class Instruments:
    """`page` has one slot a process; this one writes the slot `number`. Without a page it has memory of its own."""

    def __init__(self, now: Now, page: Values | None = None, number: int = 0) -> None:
        slot = Slot()
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
            self.requests, self.verdicts, self.shed, self.lost, self.swaps, self.fronts_lost, self.request_s,
            self.queue_s, self.batch_images, self.batch_s, self.confidence, self.ink, *self._gauges,
        ]  # fmt: skip
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

    def note_now(self) -> None:
        for gauge in self._gauges:
            gauge.note()

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
        labels = {"name": manifest.name, "version": manifest.short_version}
        return rendered(self._metrics, slots) + info_line("pileus_model_info", "The model that answers.", labels)

    def _slot(self, number: int) -> Values:
        return self._page[number * self.num_places : (number + 1) * self.num_places]


def num_places() -> int:
    """Of one process's slot on a page."""
    return Instruments(no_readings()).num_places


def _middle_sum(tenths: list[int]) -> float:
    """The sum of the values, each taken as the middle of its tenth."""
    return sum(num * (number + 0.5) / 10 for number, num in enumerate(tenths))
