"""The ports of strategies: how replicas come to agree."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

from pileus.training.checkpoint import Tensors
from pileus.training.gradient import Totals
from pileus.training.lanes import Leaf, Seconds
from pileus.training.layout import Layout
from pileus.training.tree import Node


class Task(NamedTuple):
    """One global step: the same on every worker."""

    global_step: int
    num_leaves: int
    """Microbatches of the batch."""
    num_samples: int
    """Of the batch."""
    lr: float


class Learner(Protocol):
    """One worker's copy of what is learnt. One thread uses it; all workers call it in the same order.

    PeerLost when a worker or a server is gone, or silent past the deadline.
    """

    layout: Layout
    seconds: Seconds
    tells_all: bool
    """Whether `step` gives the totals over all workers; else this worker's own."""
    in_step: bool
    """Whether all workers have the same state, bit for bit, after every step; else after `settle` only."""
    shares: int
    """Another number whenever `held` gives other intervals than before."""
    may_settle: bool
    """Whether `settle` may be called before the last step."""

    def held(self, task: Task) -> Node:
        """[low, high): the microbatches that this worker computes in a step."""
        ...

    def step(self, task: Task, leaf: Leaf) -> Totals:
        """Compute, agree as far as the strategy does, and step."""
        ...

    def settle(self) -> None:
        """Come to the same state on every worker; `tensors` is whole on rank 0 then."""
        ...

    def evaluate(self, num_leaves: int, leaf: Leaf) -> Totals:
        """The totals over all workers; each computes a share."""
        ...

    def tensors(self) -> Tensors:
        """Views of all that must be saved, by name; they change with the next step."""
        ...

    def restore(self, tensors: Tensors) -> None:
        """Go on from what `tensors` gave, of this strategy or another; what the other did not keep begins anew."""
        ...

    def fingerprint(self) -> str: ...

    def mark(self) -> int | None:
        """A checksum of the state, to find the first step at which two runs differ; None where steps do not agree."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class Served(Protocol):
    """A learner whose state lives with members of the gang that are no workers."""

    def figures(self) -> dict[str, float]:
        """On rank 0, settled: what agreeing cost and how stale it was, since the last call."""
        ...

    def release(self, fingerprint: str | None) -> None:
        """The last word to those members: finished with these weights, or stopped (None)."""
        ...
