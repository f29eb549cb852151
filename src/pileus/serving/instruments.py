"""Everything that a serving process measures of itself, by name."""

from __future__ import annotations

from collections.abc import Callable

from pileus.bundles import Bundle
from pileus.serving.metrics import BATCHES, SECONDS, Counter, Gauge, Histogram, Info, Metric, rendered


class Instruments:
    def __init__(
        self,
        bundle: Bundle,
        *,
        ready: Callable[[], bool],
        queued: Callable[[], int],
        under_way: Callable[[], int],
    ) -> None:
        self.requests = Counter("pileus_requests_total", "Answered requests.", ("route", "status"))
        self.verdicts = Counter("pileus_predictions_total", "Items answered, by verdict.", ("verdict",))
        self.request_s = Histogram(
            "pileus_request_seconds", "From the head of a request to its answer.", SECONDS, ("route",)
        )
        self.stage_s = Histogram(
            "pileus_stage_seconds", "Of a prediction: read, prepare, predict (with its wait).", SECONDS, ("stage",)
        )
        self.batch_images = Histogram("pileus_batch_images", "Images computed at once.", BATCHES)
        self.batch_s = Histogram("pileus_batch_seconds", "Time of one batch.", SECONDS)
        self._metrics: list[Metric] = [
            self.requests,
            self.verdicts,
            self.request_s,
            self.stage_s,
            self.batch_images,
            self.batch_s,
            Gauge("pileus_ready", "1 when the model is warm and the server is not draining.", ready),
            Gauge("pileus_queue_images", "Images that wait for the predictor.", queued),
            Gauge("pileus_predictions_under_way", "Prediction requests between head and answer.", under_way),
            Info("pileus_model_info", "The model that answers.", {"name": bundle.name, "version": bundle.version}),
        ]

    def observe_batch(self, images: int, seconds: float) -> None:
        self.batch_images.observe(images)
        self.batch_s.observe(seconds)

    def told(self) -> bytes:
        """In Prometheus' text format."""
        return rendered(self._metrics)
