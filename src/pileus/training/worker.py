"""A worker of a gang: from its job to its last word. The same program on every engine."""

from __future__ import annotations

import math
import time
import traceback

import numpy as np
import torch
from numpy.typing import NDArray

from pileus.data.batches import Batches, Microbatch, Part, Place, load_part, memory_for, num_readers
from pileus.data.feed import Feed
from pileus.data.ports import Split
from pileus.errors import Damaged, Diverged, PeerLost, PileusError, StoreError, UsageError
from pileus.records.read import RecordSet, open_records
from pileus.spec.job import Cause, Checkpointed, EpochDone, Failed, Fault, Finished, Job, Stopped
from pileus.spec.run import RunSpec
from pileus.store import open_store
from pileus.training.checkpoint import Position, load_checkpoint, prune, write_checkpoint
from pileus.training.exchange.ports import Exchange
from pileus.training.figures import note_figures
from pileus.training.gradient import Lane
from pileus.training.ledger import Page, PageHead, write_page
from pileus.training.replica import Problem, Replica
from pileus.training.schedule import learning_rate
from pileus.training.seat import Seat
from pileus.training.taken import Taken
from pileus.training.tree import Vector

_EVALUATION_SAMPLES = 256


def work(job: Job, seat: Seat) -> bool:
    """Join the gang, train to the end, report. False where it ended badly, which has then been reported."""
    worker: Worker | None = None
    exchange: Exchange | None = None
    try:
        torch.set_num_threads(1)
        records = open_records(job.records_uri)
        parts = {split: _load(records, split, job.spec) for split in (Split.TRAIN, Split.VALIDATION)}
        exchange = seat.join(job.spec.workers, job.session, job.spec.engine.start_deadline_s)
        worker = Worker(job, seat, exchange, parts, num_classes=len(records.classes))
        worker.run()
    except Exception as error:
        step = worker.position.global_step if worker else 0
        trace = "" if isinstance(error, PileusError) else traceback.format_exc()
        seat.report(
            Failed(rank=seat.rank, step=step, cause=_cause(error), message=str(error) or repr(error), trace=trace)
        )
        return False
    finally:
        if worker:
            worker.close()
        if exchange:
            exchange.close()
    return True


def _load(records: RecordSet, split: Split, spec: RunSpec) -> Part:
    bound = memory_for(spec.workers) if spec.reading.memory_bytes is None else spec.reading.memory_bytes
    return load_part(records, split, validation=spec.data.validation, size=spec.data.size, memory_bytes=bound)


def _cause(error: Exception) -> Cause:
    causes: dict[type[Exception], Cause] = {
        PeerLost: "peer_lost",
        Diverged: "diverged",
        UsageError: "bad_input",
        Damaged: "bad_input",
        StoreError: "storage",
        CommittedFault: "fault",
    }
    return next((cause for kind, cause in causes.items() if isinstance(error, kind)), "bug")


class CommittedFault(PileusError):  # noqa: N818
    """A fault of kind 'raise' that the job asked for."""


class Worker:
    def __init__(self, job: Job, seat: Seat, exchange: Exchange, parts: dict[Split, Part], *, num_classes: int) -> None:
        self._job = job
        self._spec = job.spec
        self._seat = seat
        self._store = open_store(job.run_uri)
        self._train, self._validation = parts[Split.TRAIN], parts[Split.VALIDATION]
        problem = Problem(self._train.shape, num_classes)
        self._num_lanes = self._spec.lanes or seat.cores
        self._replica = Replica(self._spec, problem, exchange, self._num_lanes)
        self._batches = Batches(len(self._train), self._spec.batch_size, self._spec.microbatch_size, self._spec.seed)
        self._steps_per_epoch = self._batches.steps_per_epoch
        self._share = exchange.rank, exchange.size
        self._feed: Feed[Place, Microbatch] | None = None
        self._ledger: str | None = None
        self._taken = Taken(exchange, self._spec.microbatch_size)
        self._page_start = 0
        self._phases = {"checkpoint": 0.0}
        """Seconds in this epoch; what a checkpoint took counts to the epoch after it."""
        self.position = Position()

    def close(self) -> None:
        if self._feed:
            self._feed.close()
        self._replica.close()

    def run(self) -> None:
        if self._job.checkpoint:
            checkpoint, tensors = load_checkpoint(self._store, self._job.checkpoint)
            self._replica.restore(tensors)
            self.position, self._ledger = checkpoint.manifest.position, checkpoint.manifest.ledger
            self._page_start = self.position.step
        self._feed = self._opened_feed()
        while self.position.epoch < self._spec.epochs:
            if not self._epoch(self._feed):
                self._checkpoint()
                self._seat.report(Stopped(rank=self._seat.rank, step=self.position.global_step))
                return
        self._seat.report(
            Finished(rank=self._seat.rank, step=self.position.global_step, fingerprint=self._replica.fingerprint())
        )

    def _opened_feed(self) -> Feed[Place, Microbatch]:
        """This worker's microbatches from the present position to the end of the run."""
        spec, here = self._spec, self.position
        readers = num_readers(self._train, spec.reading, self._seat.cores)
        places = self._batches.places(range(here.epoch, spec.epochs), here.step, *self._share)

        def made(place: Place) -> Microbatch:
            return self._train.augmented(self._batches.rows(place), spec.augment, spec.seed, place.epoch)

        return Feed(made, places, readers=readers, ahead=spec.reading.ahead or 2 * readers)

    def _epoch(self, feed: Feed[Place, Microbatch]) -> bool:
        """Train the rest of the present epoch; False when asked to stop on the way."""
        started = time.perf_counter()
        self._replica.compute_s = self._replica.exchange_s = feed.stall_s = 0.0
        self._phases |= {"optimizer": 0.0, "validation": 0.0}
        while self.position.step < self._steps_per_epoch:
            if self._step(feed):
                return False
        compute_s, exchange_s = self._replica.compute_s, self._replica.exchange_s
        validation = self._evaluated(self._validation)
        data_s = feed.stall_s / self._num_lanes
        self._phases |= {"data": data_s, "compute": compute_s - data_s, "exchange": exchange_s}
        done = self.position
        if self._seat.rank == 0:
            self._tell_epoch(validation, time.perf_counter() - started)
        self._phases["checkpoint"] = 0.0
        self.position = Position(epoch=done.epoch + 1, global_step=done.global_step, samples=done.samples)
        last = self.position.epoch == self._spec.epochs
        if last or self.position.epoch % self._spec.checkpoints.every_epochs == 0:
            self._checkpoint()
        else:
            self._page()
        return True

    def _tell_epoch(self, validation: tuple[float | None, float | None], seconds: float) -> None:
        """Note and report the epoch whose last step is done."""
        done = self.position
        figures = EpochDone(
            epoch=done.epoch,
            step=done.global_step,
            samples=done.samples,
            train_loss=done.epoch_loss / done.epoch_samples,
            train_accuracy=done.epoch_correct / done.epoch_samples,
            validation_loss=validation[0],
            validation_accuracy=validation[1],
            lr=learning_rate(self._spec, done.global_step - 1, self._steps_per_epoch),
            seconds=seconds,
            phases_s=dict(self._phases),
            fingerprint=self._replica.fingerprint(),
        )
        note_figures(self._store, figures)
        self._seat.report(figures)

    def _step(self, feed: Feed[Place, Microbatch]) -> bool:
        """One global step; True when rank 0 has been asked to stop."""
        here = self.position
        self._seat.at(here.epoch, here.global_step)
        for fault in self._job.faults:
            self._commit(fault)
        num_samples = self._batches.size(here.step)
        taken: dict[int, NDArray[np.uint32]] = {}

        def leaf(lane: Lane, index: int, into: Vector) -> None:
            place = Place(here.epoch, here.step, index)
            microbatch = feed.take(place)
            taken[index] = self._train.positions_N[self._batches.rows(place)].astype(np.uint32)
            lane.gradient(microbatch, (self._spec.seed, here.global_step, index), into)
            if index == 0 and self._seat.stop_asked:
                into[-1] = 1.0

        gradient, totals = self._replica.gradient(self._batches.num_microbatches(here.step), leaf)
        if not math.isfinite(totals.loss):
            raise Diverged(
                f"the loss is not finite at step {here.global_step} (epoch {here.epoch}); "
                "the last checkpoint is kept: lower optimizer.lr or raise warmup_epochs."
            )
        started = time.perf_counter()
        lr = learning_rate(self._spec, here.global_step, self._steps_per_epoch)
        self._replica.step(gradient, lr, here.global_step + 1)
        self._phases["optimizer"] += time.perf_counter() - started
        self._taken.note(num_samples, [taken[index] for index in sorted(taken)])
        self.position = Position(
            epoch=here.epoch,
            step=here.step + 1,
            global_step=here.global_step + 1,
            samples=here.samples + num_samples,
            epoch_loss=here.epoch_loss + totals.loss,
            epoch_correct=here.epoch_correct + totals.correct,
            epoch_samples=here.epoch_samples + totals.samples,
        )
        return totals.stops > 0

    def _evaluated(self, part: Part) -> tuple[float | None, float | None]:
        """Mean loss and accuracy over a part, None where it is empty."""
        if not len(part):
            return None, None
        started = time.perf_counter()
        rows = np.arange(len(part))
        leaves = [rows[first : first + _EVALUATION_SAMPLES] for first in range(0, len(part), _EVALUATION_SAMPLES)]

        def leaf(lane: Lane, index: int, into: Vector) -> None:
            lane.evaluate(part.plain(leaves[index]), into)

        totals = self._replica.evaluate(len(leaves), leaf)
        self._phases["validation"] += time.perf_counter() - started
        return totals.loss / totals.samples, totals.correct / totals.samples

    def _checkpoint(self) -> None:
        self._page()
        started = time.perf_counter()
        if self._seat.rank == 0:
            tensors, fingerprint = self._replica.tensors(), self._replica.fingerprint()
            key = write_checkpoint(self._store, tensors, self.position, fingerprint, self._ledger)
            prune(self._store, key, self._spec.checkpoints.keep)
            self._seat.report(Checkpointed(key=key, epoch=self.position.epoch, step=self.position.global_step))
        self._phases["checkpoint"] += time.perf_counter() - started

    def _page(self) -> None:
        """Gather what was taken since the last page, and have rank 0 write it."""
        started = time.perf_counter()
        positions = self._taken.gathered()
        if positions is not None:
            self._ledger = write_page(self._store, Page(self._page_head(len(positions)), positions))
        self._page_start = self.position.step
        self._phases["checkpoint"] += time.perf_counter() - started

    def _page_head(self, samples: int) -> PageHead:
        """Of the steps since the last page; they all belong to one epoch."""
        ended_epoch = self.position.step == 0
        return PageHead(
            epoch=self.position.epoch - ended_epoch,
            first_step=self._page_start,
            last_step=self._steps_per_epoch if ended_epoch else self.position.step,
            samples=samples,
            previous=self._ledger,
        )

    def _commit(self, fault: Fault) -> None:
        due = (self._seat.rank, self.position.global_step, self._job.attempt)
        if (fault.rank, fault.step, fault.attempt) != due:
            return
        if fault.kind == "raise":
            raise CommittedFault(f"fault asked for at rank {fault.rank}, step {fault.step}")
        self._seat.die("worker" if fault.kind == "kill_worker" else "controller")
