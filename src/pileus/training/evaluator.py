"""A member that validates each epoch's checkpoint while the workers train on.

It keeps no state: what it has validated lies in the run. A checkpoint that is pruned before its turn is passed over, as
is one that is damaged.
"""

from __future__ import annotations

import time

import numpy as np

from pileus.data.batches import Part, load_part
from pileus.data.ports import Split
from pileus.errors import Damaged, UsageError
from pileus.records.read import open_records
from pileus.spec.job import Finished, Job, Stopped, Validated
from pileus.store import open_store
from pileus.training.checkpoint import Checkpoint, Position, Tensors, list_checkpoints, load_checkpoint
from pileus.training.device import open_device
from pileus.training.figures import note_validation, validated_epochs
from pileus.training.gradient import NUM_TOTALS, Computes, Totals
from pileus.training.lanes import WEIGHTS, Lanes, Leaf, restore
from pileus.training.network import Problem, read_donor
from pileus.training.seat import Seat
from pileus.training.tree import Vector
from pileus.training.update import AVERAGE

_SAMPLES = 256
"""In one leaf of an evaluation."""
_LOOK_S = 0.2


def evaluation_of(part: Part) -> tuple[int, Leaf]:
    """Of how many leaves the evaluation of a part is, and what computes one."""
    rows = np.arange(len(part))
    leaves = [rows[first : first + _SAMPLES] for first in range(0, len(part), _SAMPLES)]

    def leaf(lane: Computes, index: int, into: Vector) -> None:
        lane.evaluate(part.plain(leaves[index]), into)

    return len(leaves), leaf


class Evaluator:
    def __init__(self, job: Job, seat: Seat) -> None:
        self._job, self._seat = job, seat
        self._store = open_store(job.run_uri)
        records = open_records(job.records_uri)
        spec = job.spec
        self._part = load_part(
            records,
            Split.VALIDATION,
            validation=spec.data.validation,
            size=spec.data.size,
            memory_bytes=spec.reading.memory_bytes,
        )
        if not len(self._part):
            raise UsageError(
                f"an evaluator needs a validation part, and {spec.data.source} gives none; "
                "set data.validation=0.1 or evaluators=0."
            )
        problem = Problem(self._part.shape, len(records.classes), read_donor(spec, job.run_uri))
        device = open_device(spec, seat.local_rank)
        self._lanes = Lanes(spec, problem, device.num_lanes(spec.lanes or seat.cores), device)
        self._done = validated_epochs(self._store)
        self.position = Position()

    def run(self) -> None:
        self._seat.serve("", self._job.spec.engine.start_deadline_s)
        while True:
            for key in self._due():
                last = self._validate(key)
                if last is not None:
                    self._seat.report(Finished(rank=self._seat.rank, step=self.position.global_step, fingerprint=last))
                    return
            if self._seat.stop_asked:
                self._seat.report(Stopped(rank=self._seat.rank, step=self.position.global_step))
                return
            self._seat.at(self.position.epoch, self.position.global_step)
            time.sleep(_LOOK_S)

    def close(self) -> None:
        self._lanes.close()

    def _due(self) -> list[str]:
        """Keys of checkpoints at the ends of epochs that are not validated yet, and of the last in any case."""
        found = []
        for key in list_checkpoints(self._store):
            epoch, _, step = key.rpartition("/")[2].partition("-")
            ended = int(epoch) - 1
            if int(step) == 0 and (ended not in self._done or ended + 1 == self._job.spec.epochs):
                found.append(key)
        return found

    def _validate(self, key: str) -> str | None:
        """The fingerprint of the final weights, where these are they."""
        try:
            checkpoint, tensors = load_checkpoint(self._store, key)
        except Damaged:  # pruned meanwhile, or passed over by the workers too
            return None
        self.position = checkpoint.manifest.position
        epoch = self.position.epoch - 1
        if epoch not in self._done:
            totals = self._totals(tensors)
            told = Validated(
                rank=self._seat.rank,
                epoch=epoch,
                step=self.position.global_step,
                loss=totals.loss / totals.samples,
                accuracy=totals.correct / totals.samples,
            )
            note_validation(self._store, told)
            self._done.add(epoch)
            self._seat.report(told)
        return _fingerprint(checkpoint, self._job.spec.epochs)

    def _totals(self, tensors: Tensors) -> Totals:
        names = [name for name in tensors if name.startswith(AVERAGE)]
        averaged = {WEIGHTS + name.removeprefix(AVERAGE): tensors[name] for name in names}
        restore(self._lanes.tensors(), tensors | averaged)
        num_leaves, leaf = evaluation_of(self._part)
        sums = self._lanes.sums((0, num_leaves), num_leaves, leaf, NUM_TOTALS)
        return Totals.of(sums[0, num_leaves])


def _fingerprint(checkpoint: Checkpoint, epochs: int) -> str | None:
    return checkpoint.manifest.fingerprint if checkpoint.manifest.position.epoch == epochs else None
