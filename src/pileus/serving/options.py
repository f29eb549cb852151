"""How a server is to serve."""

from __future__ import annotations

from pileus.errors import UsageError
from pileus.machine import count_cores
from pileus.serving.addresses import is_loopback
from pileus.serving.connection import Bounds
from pileus.serving.service import Settings
from pileus.spec.values import Spec

_PREDICTORS_A_FRONT = 2
"""One event loop reads and writes for about two processes that compute small models."""


class ServeOptions(Spec, frozen=True, kw_only=True):
    host: str = "127.0.0.1"
    port: int = 8000
    """0 finds a free one."""
    api_key: str | None = None
    allow_anonymous: bool = False
    processes: int | None = None
    """Predictors; None is one for each core that may be used. For every two of them one process reads and writes."""
    grace_s: float = 0.0
    """After a signal to stop: how long requests are still let in, while readiness is off."""
    drain_s: float = 10.0
    """After that: how long what was begun may take to be answered."""
    max_connections: int = 8192
    """Of one front; more wait in the listener's queue."""
    body_memory_bytes: int = 256 * 1024 * 1024
    """Of bodies of more than 64 KiB, in one front."""
    feedback: str | None = None
    """A path or URI where corrections of answers are kept; None keeps none."""
    shadow_share: float = 0.1
    """In [0, 1]: of what production answers, how much a registry's shadow is asked too."""
    log_requests: bool = False
    """One line of JSON a request, on the standard error; messages are such lines too."""
    traces: bool = False
    """A span a request, by OpenTelemetry, to where its standard variables say. Needs the extra otel."""
    bounds: Bounds = Bounds()
    settings: Settings = Settings()

    def __post_init__(self) -> None:
        if self.processes is not None and self.processes < 1:
            raise UsageError(f"processes must be 1 or more (got {self.processes}).")
        if not 0.0 <= self.shadow_share <= 1.0:
            raise UsageError(f"shadow_share is a share in [0, 1] (got {self.shadow_share}).")
        if not is_loopback(self.host) and not self.api_key and not self.allow_anonymous:
            raise UsageError(
                f"{self.host} can be reached from other machines, so a key is required: set PILEUS_API_KEY, "
                "or say --allow-anonymous to let everyone in."
            )

    @property
    def asked_key(self) -> str | None:
        """The key that every request must bring; None lets everyone in."""
        return None if self.allow_anonymous else self.api_key or None

    @property
    def num_predictors(self) -> int:
        return self.processes or count_cores().usable

    @property
    def num_fronts(self) -> int:
        return -(-self.num_predictors // _PREDICTORS_A_FRONT)

    @property
    def predictors_a_front(self) -> int:
        return -(-self.num_predictors // self.num_fronts)
