"""The description of a run: everything that its result depends on, and where it is carried out.

Two runs whose specs agree in all but `engine`, `workers` and `strategy` end with the same weights, bit for bit, on the
same kind of hardware.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, get_args

from msgspec import NODEFAULT, Meta, field
from msgspec.structs import FieldInfo, fields, force_setattr

from pileus.errors import SpecError
from pileus.spec.augment import Augment
from pileus.spec.neighbours import KNN, Neighbours
from pileus.spec.optimizer import Optimizer, Sgd
from pileus.spec.reading import Count, Reading, Side
from pileus.spec.values import Spec

Seconds = Annotated[float, Meta(gt=0.0)]


class Data(Spec, frozen=True, kw_only=True):
    source: str
    """A path or URI of labelled images, or `embedded:NAME`."""
    kind: str = "auto"
    """The kind of source; 'auto' finds it out."""
    also: tuple[str, ...] = ()
    """Further sources of the same classes, to train on with it. One that is named twice weighs twice in training."""
    none: str | None = None
    """The class of samples that are none of the others: the model knows it, and rejects what it takes for it. None:
    there is no such class."""
    several: str | None = None
    """The class of samples that show more than one item of the others: the model knows it, so that such are cut where
    they can be. It needs `none`. None: there is no such class."""
    validation: Annotated[float, Meta(ge=0.0, le=0.5)] = 0.0
    """Part of the training samples to hold back for validation where the source gives no validation part."""
    size: tuple[Side, Side] | None = None
    """Height and width that the model takes, for images that are stored in sizes of their own; None: as stored."""
    input: Literal["drawing", "picture", "auto"] = "auto"
    """What users will send: handwriting, or pictures. 'auto': what the source says."""

    def __post_init__(self) -> None:
        if self.several is not None and self.none in (None, self.several):
            raise SpecError(
                f"data.several is told from data.none (got {self.several!r} and {self.none!r}); "
                "name a class of what is none of the classes, and another of what is several items."
            )


class Single(Spec, tag_field="name", tag="single", frozen=True, kw_only=True):
    """One worker, nothing to agree about."""


class AllReduce(Spec, tag_field="name", tag="all_reduce", frozen=True, kw_only=True):
    mode: Literal["exact", "fast"] = "exact"
    """'exact': the same sum, bit for bit, for any number of workers. 'fast': torch's DistributedDataParallel over gloo,
    or NCCL where each worker has a GPU of its own, whose sums depend on that number."""


class ParameterServer(Spec, tag_field="name", tag="parameter_server", frozen=True, kw_only=True):
    """Weights and optimiser live in servers, sharded by tensor (Li et al., 2014)."""

    mode: Literal["sync", "stale", "async"] = "sync"
    """'sync': as exact all-reduce, bit for bit. 'stale': a worker may compute with weights that lack the newest
    `staleness` steps (Ho et al., 2013). 'async': each push is applied as it comes, no worker waits."""
    servers: Count = 1
    staleness: Annotated[int, Meta(ge=0)] = 1
    """Bound of 'stale', in steps; 0 equals 'sync'."""
    correction: Literal["none", "inverse"] = "none"
    """'inverse': a push that is t steps stale is applied with 1/(1+t) of the learning rate (Zhang et al., 2016)."""


class LocalSgd(Spec, tag_field="name", tag="local_sgd", frozen=True, kw_only=True):
    """Each worker steps by itself, then all average their weights (Stich, 2019)."""

    steps: Count | None = 16
    """Local steps of a round; the end of an epoch ends a round too. None: one average, at the end of the run
    (Zinkevich et al., 2010), with neither validation nor checkpoints before it."""
    outer_lr: Annotated[float, Meta(gt=0.0)] = 1.0
    """What of the average change is taken over; 1 and no momentum: the plain average."""
    outer_momentum: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.0
    """Nesterov momentum over rounds (DiLoCo: Douillard et al., 2023, with 0.9 and outer_lr 0.7)."""
    compression: Literal["none", "bf16", "int8", "top_k"] = "none"
    """Of the changes that are sent; what it leaves out is sent in later rounds (error feedback: Seide et al., 2014)."""
    top_k: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.01
    """Part of the elements that 'top_k' sends."""
    balance: bool = False
    """True: a worker that was slow in the last round gets fewer microbatches in the next, and weighs less."""


Strategy = Single | AllReduce | ParameterServer | LocalSgd
STRATEGIES = tuple(sorted(str(each.__struct_config__.tag) for each in get_args(Strategy)))
"""Their names."""
Role = Literal["worker", "server", "evaluator"]


class Engine(Spec, frozen=True, kw_only=True):
    name: str = "local"
    address: str | None = None
    """Of a cluster that is there, of ray (HOST:PORT or 'auto'), dask (tcp://HOST:PORT) or spark (spark://HOST:PORT);
    None: one of our own on this machine, for the length of the run."""
    cores: Count | None = None
    """That each member of the gang takes of such a cluster; None: one, and of our own an even share."""
    gpus: Annotated[float, Meta(ge=0.0)] = 0.0
    """That each member of the gang takes of such a cluster."""
    start_deadline_s: Seconds = 120.0
    """Until every worker of the gang has reported; past it the launch is given up and says who is missing."""
    silence_deadline_s: Seconds = 20.0
    """A worker that sends no heartbeat for so long counts as lost; one that is slow but alive never does."""
    max_restarts: Annotated[int, Meta(ge=0)] = 3
    """How often a gang is started anew after a lost worker, between two checkpoints."""
    min_workers: Count | None = None
    """A gang that cannot be whole goes on with fewer workers, down to so many; None: it never shrinks."""
    notice_s: Seconds = 25.0
    """From SIGTERM to SIGKILL where the machine is taken away: the run saves and leaves within it."""


class Checkpoints(Spec, frozen=True, kw_only=True):
    every_epochs: Annotated[int, Meta(ge=1)] = 1
    every_s: Seconds | None = None
    """Within epochs too, as soon as so many seconds have passed since the last; None: at their ends only."""
    keep: Annotated[int, Meta(ge=2)] = 3
    """The newest so many are kept; their ledger pages always are."""
    keep_best: bool = False
    """Of those written at the end of an epoch, keep that of the best validation loss too, and pack it in place of the
    last."""
    commit_s: Seconds | None = 1.0
    """Seconds between commits to memory that outlives a worker, where the engine has such; None: none."""


class EarlyStop(Spec, frozen=True, kw_only=True):
    """End the run when the validation loss has not fallen below the lowest, by `min_delta`, for `patience` epochs."""

    patience: Count = 5
    min_delta: Annotated[float, Meta(ge=0.0)] = 0.0


class Transfer(Spec, frozen=True, kw_only=True):
    """Begin with the trunk of a trained network."""

    bundle: str
    """A path or URI of a bundle or of a run, or a run's name."""
    version: str = ""
    """Of that bundle, or its first digits; '': whichever is there. A run notes what it was."""
    train: Literal["all", "head"] = "all"
    """'head': the trunk stays as it is."""
    head: Literal["new", "kept"] = "new"
    """'kept': the donor's own, which must be of the same classes in the same order: it learns on."""


class RunSpec(Spec, frozen=True, kw_only=True):
    model: str
    data: Data
    epochs: Count = 1
    batch_size: Count = 128
    microbatch_size: Count = 32
    """A batch is cut into microbatches of this size; the cut, not the number of workers, fixes the arithmetic."""
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0
    optimizer: Optimizer = field(default_factory=Sgd)
    schedule: Literal["constant", "cosine", "one_cycle"] = "constant"
    """'one_cycle': linear up over `warmup_epochs` (0: three tenths of the run), linear down to zero (Smith, 2018)."""
    warmup_epochs: Annotated[float, Meta(ge=0.0)] = 0.0
    batch_growth: dict[int, Count] = field(default_factory=dict)
    """Epoch, counted from 0, to the batch size from there on: a larger batch in place of a lower rate (Smith et al.,
    2018)."""
    label_smoothing: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.0
    clip_norm: Annotated[float, Meta(gt=0.0)] | None = None
    """The gradient of the mean loss is scaled down to this L2 norm where it is larger."""
    ema: Annotated[float, Meta(gt=0.0, lt=1.0)] | None = None
    """Decay of a running average of the weights, which is then what is validated and packed."""
    average_mirrored: bool = False
    """True: what is validated and packed answers by the mean logits of a picture and of its mirror image, which is
    twice the computing. For networks that learn both, by augment.flip."""
    early_stop: EarlyStop | None = None
    precision: Literal["fp32", "bf16", "auto"] = "fp32"
    """Of the arithmetic in a network; its weights, their sums and steps are fp32 always. 'auto': bf16 where this
    machine is measured to gain from it, or its GPU has it; what was chosen is written into the run."""
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    """Where networks compute. 'cuda': on NVIDIA's GPUs, of which each worker takes one in turn. 'auto': on GPUs where
    this machine has any; what was chosen is written into the run."""
    transfer: Transfer | None = None
    augment: Augment = field(default_factory=Augment)
    neighbours: Neighbours | None = None
    """Of model knn, which has it always; None: another model."""
    strategy: Strategy = field(default_factory=AllReduce)
    engine: Engine = field(default_factory=Engine)
    workers: Count = 1
    evaluators: Annotated[int, Meta(ge=0, le=1)] = 0
    """1: one more member validates each epoch's checkpoint, and the workers train on meanwhile."""
    lanes: Count | None = None
    """Threads that compute microbatches side by side in each worker; None: the worker's share of the cores. On a GPU
    always one."""
    reading: Reading = field(default_factory=Reading)
    checkpoints: Checkpoints = field(default_factory=Checkpoints)

    def __post_init__(self) -> None:
        self._check_neighbours()
        if self.microbatch_size > self.batch_size:
            raise SpecError(
                f"microbatch_size must be at most batch_size (got microbatch_size={self.microbatch_size}, "
                f"batch_size={self.batch_size}); lower microbatch_size."
            )
        self._check_growth()
        if self.workers > self.num_microbatches and self.model != KNN:
            raise SpecError(
                f"workers must be in [1, microbatches] (got workers={self.workers}, "
                f"microbatches={self.num_microbatches}); lower --workers or microbatch_size."
            )
        self._check_augment()
        self._check_strategy()

    def _check_neighbours(self) -> None:
        if self.model != KNN:
            if self.neighbours is not None:
                raise SpecError(f"neighbours are of model {KNN} (got model={self.model}); leave neighbours out.")
            return
        if self.neighbours is None:
            force_setattr(self, "neighbours", Neighbours())
        if not isinstance(self.strategy, Single):
            name = self.strategy.__struct_config__.tag
            raise SpecError(f"model {KNN} has nothing to agree about (got strategy={name}); say --strategy single.")
        idle = [
            each.name
            for each in fields(self)
            if each.name not in _OF_NEIGHBOURS and getattr(self, each.name) != _default(each)
        ]
        if idle:
            raise SpecError(
                f"model {KNN} takes no steps, and nothing of it is decided by {', '.join(idle)}; leave that out."
            )

    def _check_growth(self) -> None:
        for epoch, size in self.batch_growth.items():
            if epoch < 0 or size < self.microbatch_size:
                raise SpecError(
                    "batch_growth is of epochs from 0 on to batch sizes of at least microbatch_size "
                    f"(got {epoch}: {size}, microbatch_size={self.microbatch_size}); for example batch_growth.10=512."
                )

    def _check_augment(self) -> None:
        if self.augment.mix and self.microbatch_size < 2:
            raise SpecError(
                "augment.mix mixes samples of one microbatch and needs microbatch_size of at least 2 "
                f"(got {self.microbatch_size}); raise microbatch_size or set augment.mix=null."
            )
        if self.average_mirrored and not self.augment.flip:
            raise SpecError(
                "average_mirrored asks the network about mirror images, which it learns only with augment.flip above 0 "
                f"(got augment.flip={self.augment.flip}); set augment.flip=0.5 or average_mirrored=false."
            )

    def _check_strategy(self) -> None:
        strategy = self.strategy
        if isinstance(strategy, Single) and self.workers != 1 and self.model != KNN:
            raise SpecError(
                f"strategy 'single' has one worker (got workers={self.workers}); "
                "choose --strategy all_reduce or --workers 1."
            )
        if self.evaluators and (self.early_stop or self.checkpoints.keep_best):
            raise SpecError(
                "early_stop and checkpoints.keep_best need each epoch's validation at its end, and an evaluator tells "
                f"it later (got evaluators={self.evaluators}); set evaluators=0."
            )
        if self.ema is not None and isinstance(strategy, LocalSgd):
            raise SpecError(
                "ema follows weights that all workers agree on after each step, and those of local_sgd do not "
                f"(got ema={self.ema}); set ema=null or another strategy."
            )
        validates = self.early_stop is not None or self.checkpoints.keep_best
        if isinstance(strategy, LocalSgd) and strategy.steps is None and validates:
            raise SpecError(
                "one average at the end of a run leaves nothing to validate before it (got strategy.steps=null with "
                "early_stop or checkpoints.keep_best); set strategy.steps to a number."
            )
        if self.clip_norm is not None and isinstance(strategy, ParameterServer) and strategy.servers > 1:
            raise SpecError(
                "clip_norm needs the whole gradient in one place, and servers hold a shard each "
                f"(got strategy.servers={strategy.servers}); set strategy.servers=1 or clip_norm=null."
            )

    @property
    def strategy_kind(self) -> str:
        """What an engine must be able to run."""
        strategy = self.strategy
        name = str(strategy.__struct_config__.tag)
        return f"{name} ({strategy.mode})" if isinstance(strategy, AllReduce) and strategy.mode == "fast" else name

    @property
    def gang_size(self) -> int:
        """Members: first the workers, then the servers, then the evaluator."""
        return self.workers + self.servers + self.evaluators

    @property
    def servers(self) -> int:
        return self.strategy.servers if isinstance(self.strategy, ParameterServer) else 0

    def role(self, rank: int) -> Role:
        if rank < self.workers:
            return "worker"
        return "server" if rank < self.workers + self.servers else "evaluator"

    @property
    def num_microbatches(self) -> int:
        """Of a full batch; of the smallest where batches grow."""
        smallest = min(self.batch_growth.values(), default=self.batch_size)
        return math.ceil(min(smallest, self.batch_size) / self.microbatch_size)


_OF_NEIGHBOURS = frozenset({"model", "data", "neighbours", "strategy", "engine", "workers", "lanes"})
"""The settings that a run without steps looks at."""


def _default(setting: FieldInfo) -> object:
    return setting.default if setting.default_factory is NODEFAULT else setting.default_factory()
