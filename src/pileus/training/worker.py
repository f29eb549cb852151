"""A worker of a gang: it trains its share of every batch, to the end of the run."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pileus.data.batches import Batches, Microbatch, Part, Place, load_part, memory_for, num_readers
from pileus.data.feed import Feed
from pileus.data.ports import Split
from pileus.records.read import RecordSet, open_records
from pileus.spec.job import EpochDone, Finished, Job, Resumed, Stopped
from pileus.spec.run import RunSpec
from pileus.store import open_store
from pileus.training.checkpoint import Position, describe_checkpoint, load_checkpoint
from pileus.training.device import open_device
from pileus.training.evaluator import evaluation_of
from pileus.training.exchange.collect import all_gather
from pileus.training.exchange.ports import Exchange
from pileus.training.faults import Faults
from pileus.training.figures import note_figures
from pileus.training.gradient import NUM_TOTALS, Computes, Totals
from pileus.training.lanes import Seconds
from pileus.training.ledger import written
from pileus.training.network import Problem, read_donor
from pileus.training.saving import Commit, Saving, unpacked
from pileus.training.schedule import learning_rate
from pileus.training.seat import Gathering, Seat
from pileus.training.strategies.make import make_learner
from pileus.training.strategies.ports import Learner, Served, Task
from pileus.training.taken import Taken
from pileus.training.tree import Vector

_STOPS, _COMMITS = (Totals._fields.index(name) - NUM_TOTALS for name in ("stops", "commits"))
_TO_MEMORY, _TO_DISK = 1.0, 2.0
"""What a commit asked for by rank 0 is."""


def joined(job: Job, seat: Seat) -> Worker:
    """A worker of a gang that is whole. PeerLost where it does not become so by the deadline."""
    records = open_records(job.records_uri)
    parts = {split: _load(records, split, job.spec) for split in (Split.TRAIN, Split.VALIDATION)}
    faults = Faults(job, seat)
    faults.before_joining()
    gathering = seat.join(job.spec.workers, job.session, job.spec.engine.start_deadline_s)
    try:
        gathering = gathering._replace(session=job.session)
        return Worker(job, seat, gathering, faults, parts, num_classes=len(records.classes))
    except BaseException:
        gathering.exchange.close()
        raise


def _load(records: RecordSet, split: Split, spec: RunSpec) -> Part:
    bound = memory_for(spec.workers) if spec.reading.memory_bytes is None else spec.reading.memory_bytes
    return load_part(records, split, validation=spec.data.validation, size=spec.data.size, memory_bytes=bound)


class Worker:
    def __init__(
        self,
        job: Job,
        seat: Seat,
        gathering: Gathering,
        faults: Faults,
        parts: dict[Split, Part],
        *,
        num_classes: int,
    ) -> None:
        self._job = job
        self._spec = job.spec
        self._seat = seat
        self._exchange: Exchange = gathering.exchange
        self._faults = faults
        self._store = faults.over(open_store(job.run_uri))
        self._train, self._validation = parts[Split.TRAIN], parts[Split.VALIDATION]
        device = open_device(job.spec, seat.local_rank)
        self._num_lanes = device.num_lanes(self._spec.lanes or seat.cores)
        problem = Problem(self._train.shape, num_classes, read_donor(self._spec, job.run_uri))
        self._learner: Learner = make_learner(self._spec, problem, gathering, self._num_lanes, device)
        spec = self._spec
        self._batches = Batches(len(self._train), spec.batch_size, spec.microbatch_size, spec.seed, spec.batch_growth)
        self._first_steps = self._batches.first_steps(spec.epochs)
        self._feed: Feed[Place, Microbatch] | None = None
        self._feed_shares = 0
        self._ledger: str | None = None
        self._taken = Taken(self._exchange)
        self._page_start = 0
        self._unsettled = Totals(0.0, 0.0, 0.0)
        """This worker's own, where each step tells no more."""
        self._saving = Saving(self._store, seat, self._spec.checkpoints) if seat.rank == 0 else None
        self._phases = {"checkpoint": 0.0}
        """Seconds in this epoch; what a checkpoint took counts to the epoch after it."""
        self.position = Position()

    def close(self) -> None:
        if self._feed:
            self._feed.close()
        if self._saving:
            self._saving.close()
        self._learner.close()
        self._exchange.close()

    def run(self) -> None:
        self._take_up()
        while self.position.epoch < self._spec.epochs and not self._is_enough:
            if not self._epoch():
                self._settle()
                self._checkpoint()
                self._saved()
                self._release(None)
                self._seat.report(Stopped(rank=self._seat.rank, step=self.position.global_step))
                return
        self._saved()
        fingerprint = self._learner.fingerprint()
        self._release(fingerprint)
        self._seat.report(Finished(rank=self._seat.rank, step=self.position.global_step, fingerprint=fingerprint))

    def _release(self, fingerprint: str | None) -> None:
        if isinstance(self._learner, Served):
            self._learner.release(fingerprint)

    def _take_up(self) -> None:
        """Go on from the checkpoint of the job, or from what is kept in memory where that is newer."""
        kept = self._seat.kept()
        commit = unpacked(kept) if kept is not None else None
        checkpoint = describe_checkpoint(self._store, self._job.checkpoint) if self._job.checkpoint else None
        saved = checkpoint.manifest.position.global_step if checkpoint is not None else -1
        if commit is not None and commit.position.global_step > saved:
            self.position, self._ledger, self._page_start = commit.position, commit.ledger, commit.page_start
            self._taken.pending = commit.pending
            self._learner.restore(commit.tensors)
            place: Literal["memory", "checkpoint"] = "memory"
        elif checkpoint is not None:
            self.position, self._ledger = checkpoint.manifest.position, checkpoint.manifest.ledger
            self._page_start = self.position.step
            self._learner.restore(load_checkpoint(self._store, checkpoint.key)[1])
            place = "checkpoint"
        else:
            return
        if self._seat.rank == 0:
            self._seat.report(Resumed(rank=0, step=self.position.global_step, place=place))

    def _present_feed(self) -> Feed[Place, Microbatch]:
        """Opened anew where this worker's share is another than before."""
        if self._feed is None or self._feed_shares != self._learner.shares:
            if self._feed is not None:
                self._feed.close()
            self._feed, self._feed_shares = self._opened_feed(), self._learner.shares
        return self._feed

    def _opened_feed(self) -> Feed[Place, Microbatch]:
        """This worker's microbatches from the present position to the end of the run."""
        spec, here = self._spec, self.position
        readers = num_readers(self._train, spec.reading, self._seat.cores)
        places = self._batches.places(range(here.epoch, spec.epochs), here.step, self._held)

        def made(place: Place) -> Microbatch:
            return self._train.augmented(self._batches.rows(place), spec.augment, spec.seed, place.epoch)

        return Feed(made, places, readers=readers, ahead=spec.reading.ahead or 2 * readers)

    def _held(self, num_microbatches: int) -> tuple[int, int]:
        return self._learner.held(Task(0, num_microbatches, 0, 0.0))

    def _epoch(self) -> bool:
        """Train the rest of the present epoch; False when asked to stop on the way."""
        started = time.perf_counter()
        self._learner.seconds, data_s = Seconds(), 0.0
        self._phases["validation"] = 0.0
        num_steps = self._batches.steps_per_epoch(self.position.epoch)
        while self.position.step < num_steps:
            feed = self._present_feed()
            feed.stall_s = 0.0
            asked = self._step(feed)
            data_s += feed.stall_s / self._num_lanes
            if asked.stops > 0:
                return False
            if asked.commits > 0:
                self._commit(to_disk=asked.commits >= _TO_DISK)
        last = self.position.epoch + 1 == self._spec.epochs
        whole = last or self._learner.may_settle
        if whole:
            self._learner.settle()
        self._sum_totals()
        seconds = self._learner.seconds
        validation = self._evaluated(self._validation) if whole and not self._spec.evaluators else (None, None)
        self._phases |= asdict(seconds) | {"data": data_s, "compute": seconds.compute - data_s}
        done = self.position
        if self._seat.rank == 0:
            self._tell_epoch(validation, time.perf_counter() - started)
        self._phases["checkpoint"] = 0.0
        stopping = self._spec.early_stop
        self.position = done.next_epoch(validation[0], stopping.min_delta if stopping else 0.0)
        due = last or self._is_enough or self.position.epoch % self._spec.checkpoints.every_epochs == 0
        if whole and due:
            self._checkpoint(validation[0])
        else:
            self._page()
        return True

    @property
    def _is_enough(self) -> bool:
        """Whether the run ends before its last epoch: the same on every worker, as validation is."""
        stopping = self._spec.early_stop
        return stopping is not None and self.position.stale_epochs >= stopping.patience

    def _settle(self) -> None:
        """Have the same state on every worker, and the totals of all in the position."""
        self._learner.settle()
        self._sum_totals()

    def _sum_totals(self) -> None:
        if self._learner.tells_all:
            return
        totals, self._unsettled = summed(self._exchange, self._unsettled), Totals(0.0, 0.0, 0.0)
        self.position = self.position.with_totals(totals.loss, totals.correct, totals.samples)

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
            lr=learning_rate(self._spec, done.global_step - 1, self._first_steps),
            seconds=seconds,
            phases_s=dict(self._phases),
            fingerprint=self._learner.fingerprint(),
            agreement=self._learner.figures() if isinstance(self._learner, Served) else {},
        )
        note_figures(self._store, figures)
        self._seat.report(figures)

    def _step(self, feed: Feed[Place, Microbatch]) -> Totals:
        """One global step. What it tells of stops and commits is the same on every worker."""
        here = self.position
        self._seat.at(here.epoch, here.global_step)
        self._faults.before(here.global_step, self._learner.seconds.compute)
        num_samples = self._batches.size(here.epoch, here.step)
        taken: dict[int, NDArray[np.uint32]] = {}

        def leaf(lane: Computes, index: int, into: Vector) -> None:
            place = Place(here.epoch, here.step, index)
            microbatch = self._faults.spoiled(feed.take(place), here.global_step)
            taken[index] = self._train.positions_N[self._batches.rows(place)].astype(np.uint32)
            lane.gradient(microbatch, (self._spec.seed, here.global_step, index), into)
            if index == 0 and self._saving is not None:
                self._ask(self._saving, into)

        lr = learning_rate(self._spec, here.global_step, self._first_steps)
        num_leaves = self._batches.num_microbatches(here.epoch, here.step)
        totals = self._learner.step(Task(here.global_step, num_leaves, num_samples, lr), leaf)
        mark = self._learner.mark() if self._saving is not None else None
        self._taken.note([taken[index] for index in sorted(taken)], mark)
        after = here.after(num_samples)
        if self._learner.tells_all:
            after = after.with_totals(totals.loss, totals.correct, totals.samples)
        else:
            self._unsettled += totals
        self.position = after
        return totals

    def _ask(self, saving: Saving, into: Vector) -> None:
        """On rank 0: ask all for what is due after this step."""
        checkpoints = self._spec.checkpoints
        into[_STOPS] = self._seat.stop_asked
        if saving.checkpoint_due(checkpoints.every_s):
            into[_COMMITS] = _TO_DISK
        elif saving.commit_due(checkpoints.commit_s):
            into[_COMMITS] = _TO_MEMORY

    def _evaluated(self, part: Part) -> tuple[float | None, float | None]:
        """Mean loss and accuracy over a part, None where it is empty."""
        if not len(part):
            return None, None
        started = time.perf_counter()
        totals = self._learner.evaluate(*evaluation_of(part))
        self._phases["validation"] += time.perf_counter() - started
        return totals.loss / totals.samples, totals.correct / totals.samples

    def _commit(self, *, to_disk: bool) -> None:
        """Within an epoch."""
        if not self._learner.may_settle:
            return
        self._settle()
        if to_disk:
            self._checkpoint()
            return
        started = time.perf_counter()
        self._taken.gather()
        if self._saving is not None:
            self._saving.commit(self._present())
        self._phases["checkpoint"] += time.perf_counter() - started

    def _checkpoint(self, validation_loss: float | None = None) -> None:
        """Of a settled state."""
        started = time.perf_counter()
        self._page()
        if self._saving is not None:
            self._saving.checkpoint(self._present(), self._learner.fingerprint(), validation_loss)
        self._phases["checkpoint"] += time.perf_counter() - started

    def _present(self) -> Commit:
        """On rank 0; the tensors change with the next step."""
        return Commit(self._learner.tensors(), self.position, self._ledger, self._page_start, self._taken.pending)

    def _saved(self) -> None:
        if self._saving is not None:
            self._saving.wait()

    def _page(self) -> None:
        """Gather what was taken since the last page, and have rank 0 write it with what it writes next."""
        self._taken.gather()
        ended_epoch = self.position.step == 0
        epoch = self.position.epoch - ended_epoch
        steps = self._page_start, self._batches.steps_per_epoch(epoch) if ended_epoch else self.position.step
        page = self._taken.page(epoch, steps, self.position.global_step - (steps[1] - steps[0]), self._ledger)
        if page is not None and self._saving is not None:
            self._saving.page(made := written(page))
            self._ledger = made.key
        self._page_start = self.position.step


def summed(exchange: Exchange, own: Totals) -> Totals:
    """Over all workers, in the order of ranks: the same on each."""
    told = all_gather(exchange, np.asarray(own, np.float64))
    return Totals(*(float(value) for value in np.sum(told, axis=0)))
