"""The description of a run: everything that its result depends on, and where it is carried out.

Two runs whose specs agree in all but `engine`, `workers` and `strategy` end with the same weights, bit for bit, on the
same kind of hardware.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from msgspec import Meta, field

from pileus.errors import SpecError
from pileus.spec.augment import Augment
from pileus.spec.optimizer import Optimizer, Sgd
from pileus.spec.reading import Count, Reading, Side
from pileus.spec.values import Spec

Seconds = Annotated[float, Meta(gt=0.0)]


class Data(Spec, frozen=True, kw_only=True):
    source: str
    """A path or URI of labelled images, or `embedded:NAME`."""
    kind: str = "auto"
    """The kind of source; 'auto' finds it out."""
    validation: Annotated[float, Meta(ge=0.0, le=0.5)] = 0.0
    """Part of the training samples to hold back for validation where the source gives no validation part."""
    size: tuple[Side, Side] | None = None
    """Height and width that the model takes, for images that are stored in sizes of their own; None: as stored."""
    input: Literal["drawing", "picture", "auto"] = "auto"
    """What users will send: handwriting, or pictures. 'auto': what the source says."""


class Single(Spec, tag_field="name", tag="single", frozen=True, kw_only=True):
    """One worker, nothing to agree about."""


class AllReduce(Spec, tag_field="name", tag="all_reduce", frozen=True, kw_only=True):
    mode: Literal["exact"] = "exact"
    """'exact': the same sum, bit for bit, for any number of workers."""


Strategy = Single | AllReduce


class Engine(Spec, frozen=True, kw_only=True):
    name: str = "local"
    start_deadline_s: Seconds = 120.0
    """Until every worker of the gang has reported; past it the launch is given up and says who is missing."""
    silence_deadline_s: Seconds = 60.0
    """A worker that sends no heartbeat for so long counts as lost."""
    max_restarts: Annotated[int, Meta(ge=0)] = 3
    """How often a gang is started anew after a lost worker, between two checkpoints."""


class Checkpoints(Spec, frozen=True, kw_only=True):
    every_epochs: Annotated[int, Meta(ge=1)] = 1
    keep: Annotated[int, Meta(ge=2)] = 3
    """The newest so many are kept; their ledger pages always are."""


class RunSpec(Spec, frozen=True, kw_only=True):
    model: str
    data: Data
    epochs: Count = 1
    batch_size: Count = 128
    microbatch_size: Count = 32
    """A batch is cut into microbatches of this size; the cut, not the number of workers, fixes the arithmetic."""
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0
    optimizer: Optimizer = field(default_factory=Sgd)
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_epochs: Annotated[float, Meta(ge=0.0)] = 0.0
    label_smoothing: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.0
    augment: Augment = field(default_factory=Augment)
    strategy: Strategy = field(default_factory=AllReduce)
    engine: Engine = field(default_factory=Engine)
    workers: Count = 1
    lanes: Count | None = None
    """Threads that compute microbatches side by side in each worker; None: the worker's share of the cores."""
    reading: Reading = field(default_factory=Reading)
    checkpoints: Checkpoints = field(default_factory=Checkpoints)

    def __post_init__(self) -> None:
        if self.microbatch_size > self.batch_size:
            raise SpecError(
                f"microbatch_size must be at most batch_size (got microbatch_size={self.microbatch_size}, "
                f"batch_size={self.batch_size}); lower microbatch_size."
            )
        if self.workers > self.num_microbatches:
            raise SpecError(
                f"workers must be in [1, microbatches] (got workers={self.workers}, "
                f"microbatches={self.num_microbatches}); lower --workers or microbatch_size."
            )
        if self.augment.mix and self.microbatch_size < 2:
            raise SpecError(
                "augment.mix mixes samples of one microbatch and needs microbatch_size of at least 2 "
                f"(got {self.microbatch_size}); raise microbatch_size or set augment.mix=null."
            )
        if isinstance(self.strategy, Single) and self.workers != 1:
            raise SpecError(
                f"strategy 'single' has one worker (got workers={self.workers}); "
                "choose --strategy all_reduce or --workers 1."
            )

    @property
    def num_microbatches(self) -> int:
        """Of a full batch."""
        return math.ceil(self.batch_size / self.microbatch_size)
