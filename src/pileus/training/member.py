"""A member of a gang: from its job to its last word. The same program on every engine."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Protocol

import torch

from pileus.errors import Damaged, Diverged, MissingService, PeerLost, PileusError, StoreError, UsageError
from pileus.spec.job import Cause, Failed, Job
from pileus.spec.run import Role
from pileus.training.checkpoint import Position
from pileus.training.device import explained
from pileus.training.evaluator import Evaluator
from pileus.training.faults import CommittedFault
from pileus.training.seat import Seat
from pileus.training.strategies.parameter_server.server import serve
from pileus.training.worker import joined


class Member(Protocol):
    position: Position

    def run(self) -> None:
        """To the end; its last word is said then."""
        ...

    def close(self) -> None: ...


def work(job: Job, seat: Seat) -> bool:
    """Join the gang, do one's part, report. False where it ended badly, which has then been reported."""
    member: Member | None = None
    try:
        torch.set_num_threads(1)
        member = _ROLES[job.spec.role(seat.rank)](job, seat)
        member.run()
    except Exception as raised:
        error = explained(raised, job.spec)
        step = member.position.global_step if member else 0
        trace = "" if isinstance(error, PileusError) else traceback.format_exc()
        seat.report(
            Failed(rank=seat.rank, step=step, cause=_cause(error), message=str(error) or repr(error), trace=trace)
        )
        return False
    finally:
        if member:
            member.close()
    return True


class _Server:
    """Of parameters; it counts steps by itself."""

    def __init__(self, job: Job, seat: Seat) -> None:
        self._job, self._seat = job, seat
        self.position = Position()

    def run(self) -> None:
        serve(self._job, self._seat)

    def close(self) -> None:
        return None


_ROLES: dict[Role, Callable[[Job, Seat], Member]] = {"worker": joined, "server": _Server, "evaluator": Evaluator}


def _cause(error: Exception) -> Cause:
    causes: dict[type[Exception], Cause] = {
        PeerLost: "peer_lost",
        Diverged: "diverged",
        UsageError: "bad_input",
        MissingService: "bad_input",
        Damaged: "bad_input",
        StoreError: "storage",
        CommittedFault: "fault",
    }
    return next((cause for kind, cause in causes.items() if isinstance(error, kind)), "bug")
