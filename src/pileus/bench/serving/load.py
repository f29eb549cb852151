"""A load and what came of it: what is said between who measures and the process that sends.

Times are seconds of CLOCK_MONOTONIC, which all processes of a machine share. A request's latency counts from when it
was INTENDED to be sent, so that what a stalled server keeps from being sent is seen (G. Tene, "How NOT to Measure
Latency", 2013: coordinated omission).
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from pileus.spec.values import Spec

LATE_MS = 5.0
"""From where on a start counts as late, by the sender's own fault."""
MAX_CONNECTIONS = 4096
MAX_SECONDS = 3600.0

Positive = Annotated[float, Meta(gt=0)]
Connections = Annotated[int, Meta(ge=1, le=MAX_CONNECTIONS)]


class Users(Spec, tag="users", frozen=True, kw_only=True):
    """A closed loop: each user asks, reads the answer, pauses, and asks again.

    Refused with Retry-After a user waits as long as it says, within reason.
    """

    users: Connections
    think_s: Annotated[float, Meta(ge=0)] = 0.0
    """Mean pause; drawn evenly from half to one and a half of it."""
    most_wait_s: Annotated[float, Meta(ge=0)] = 5.0
    """That a refused user waits, whatever Retry-After says."""


class Arrivals(Spec, tag="arrivals", frozen=True, kw_only=True):
    """An open loop: requests come when they come, whatever became of those before (a Poisson process)."""

    per_s: Positive
    connections: Connections = MAX_CONNECTIONS
    """At most; a request that finds all of them waiting waits too, and its latency counts on. Few of them would make a
    crowd of what should be an overload: the server would never see more requests than there are connections."""


SATURATING = Users(users=128, most_wait_s=0.05)
"""Who find out what a server can do: twice the largest usual batch, so that no predictor waits for company, and a
refusal does not keep them away."""


class Task(Spec, frozen=True, kw_only=True):
    """What the sender is told."""

    host: str
    port: int
    path: str = "/v1/predict"
    media_type: str
    bodies: Annotated[tuple[bytes, ...], Meta(min_length=1)]
    """Sent in turn."""
    load: Users | Arrivals
    warm_s: Annotated[float, Meta(ge=0)] = 1.0
    """Of the same load, before anything is counted."""
    seconds: Annotated[float, Meta(gt=0, le=MAX_SECONDS)]
    """That are counted: requests whose intended time lies in them."""
    timeout_s: Positive = 10.0
    """For an answer, from sending; for a connection, from the intended time."""
    bin_s: Positive = 1.0
    """Of the timeline."""
    seed: int = 0


class Latency(Spec, frozen=True, kw_only=True):
    """Exact quantiles over all requests of a kind, from the intended time to the last byte of the answer."""

    mean_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float

    @classmethod
    def of(cls, seconds_N: NDArray[np.float64]) -> Latency | None:
        """None of nothing."""
        if not len(seconds_N):
            return None
        p50, p90, p99, p999 = 1e3 * np.quantile(seconds_N, (0.5, 0.9, 0.99, 0.999), method="inverted_cdf")
        return cls(
            mean_ms=1e3 * float(seconds_N.mean()),
            p50_ms=float(p50),
            p90_ms=float(p90),
            p99_ms=float(p99),
            p999_ms=float(p999),
            max_ms=1e3 * float(seconds_N.max()),
        )


class Bin(Spec, frozen=True, kw_only=True):
    """Requests whose intended time lies in one piece of the timeline."""

    at_s: float
    """Of its beginning, since counting began."""
    ok: int
    failed: int
    p50_ms: float | None
    """Of those that were answered well, as the next."""
    p99_ms: float | None
    max_ms: float | None


class Given(Spec, frozen=True, kw_only=True):
    """One answer that a body was given, without the request's id, and how often."""

    body: int
    """Its place among the task's."""
    answer: bytes
    times: int


class Sent(Spec, frozen=True, kw_only=True):
    """What came of a load. Every request is either in `ok` or once in `failed`."""

    began: float
    """When counting began."""
    seconds: float
    sent: int
    ok: int
    in_time: int
    """Good answers that came while it counted, whenever they were asked for."""
    failed: dict[str, int]
    """By cause: a status, or connect, closed, timeout, unsent, unread."""
    latency: Latency | None
    """Of `ok`."""
    refused: Latency | None
    """Of the requests answered with 429."""
    refused_after: Latency | None
    """The same from when they were really sent: what the server needs to refuse, whatever kept the sender."""
    retry_after_s: tuple[float, float] | None
    """Least and greatest that was said with 429 and 503."""
    late: float
    """Share of the requests that were sent more than LATE_MS late by the sender's own fault."""
    late_p99_ms: float
    cpu_s: float
    """Processor time of the sender while it counted."""
    connections: int
    """Opened in all."""
    unnamed: int
    """Good answers that did not bear their request's id."""
    stray: int
    """Bytes that came where no answer was waited for, in pieces."""
    given: tuple[Given, ...]
    timeline: tuple[Bin, ...]

    @property
    def goodput(self) -> float:
        """Good answers a second."""
        return self.in_time / self.seconds

    @property
    def kept_up(self) -> bool:
        """Else the sender itself may be what was measured."""
        return self.late < _LATE_SHARE and self.cpu_s < _BUSY * self.seconds


_LATE_SHARE = 0.01
_BUSY = 0.95
"""Processor seconds of the sender a second: it has one thread."""
