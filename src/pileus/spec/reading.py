"""How samples are drawn from records, and how they are carried."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from pileus.spec.augment import Augment
from pileus.spec.values import Spec

Count = Annotated[int, Meta(ge=1)]
Side = Annotated[int, Meta(ge=1, le=8192)]
"""Pixels."""
SplitName = Literal["train", "validation", "test"]


class Reading(Spec, frozen=True, kw_only=True):
    """How the samples come into memory. Nothing of it changes what a batch holds, not by a bit."""

    readers: Count | None = None
    """Threads that fetch, check and decode what is not held in memory; None: as many as cores may be used."""
    ahead: Count | None = None
    """Microbatches that are made before they are asked for, at most; None: twice the readers."""
    memory_bytes: Annotated[int, Meta(ge=0)] | None = None
    """A split is held in memory where it takes no more; None: a quarter of the machine's, shared among the workers."""


class Sampling(Spec, frozen=True, kw_only=True):
    """Which samples a batch holds and what is done to them: with the records, all that decides its bits."""

    batch_size: Count = 128
    microbatch_size: Count | None = None
    """Batches are cut into these; samples mix (`augment.mix`) within one. None: a batch is one microbatch."""
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0
    split: SplitName = "train"
    validation: Annotated[float, Meta(ge=0.0, le=0.5)] = 0.0
    """Part of the training samples to hold back for validation where the records have no validation part."""
    size: tuple[Side, Side] | None = None
    """Height and width of what comes out; None: as the images are stored, which must then be of one size."""
    augment: Augment = field(default_factory=Augment)
