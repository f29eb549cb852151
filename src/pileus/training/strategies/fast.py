"""Fast all-reduce: torch's DistributedDataParallel, which sends gradients while it still computes.

A worker computes its share of the batch in one piece, on all of its cores or its GPU; what is summed, and in which
order, depends on their number. The optimiser's step is that of every other strategy. A worker sends and receives
2 (W-1)/W times the gradient's bytes a step, in torch's buckets (Li et al., 2020), by gloo, or by NCCL where each worker
has a GPU of its own; and, by gloo, one small message for statistics and totals.
"""

from __future__ import annotations

import contextlib
import datetime
import math
import os
import time
from collections.abc import Iterator

import numpy as np
import torch
import torch.distributed as dist
from torch._C._distributed_c10d import TCPStore  # where torch.distributed, which does not name it, has it from
from torch.nn.parallel import DistributedDataParallel

from pileus.data.batches import Microbatch
from pileus.data.transforms.mix import Pairs
from pileus.errors import PeerLost
from pileus.spec.run import RunSpec
from pileus.training.device import Device
from pileus.training.exchange.collect import all_gather
from pileus.training.exchange.ports import Exchange
from pileus.training.gradient import NUM_TOTALS, Totals, diverged
from pileus.training.lanes import Lanes, Leaf
from pileus.training.layout import aligned_zeros
from pileus.training.network import Problem
from pileus.training.replica import WholeReplica
from pileus.training.seat import Gathering
from pileus.training.strategies.ports import Task
from pileus.training.tree import Vector


class FastLearner(WholeReplica):
    def __init__(self, spec: RunSpec, problem: Problem, gathering: Gathering, num_threads: int, device: Device) -> None:
        torch.set_num_threads(num_threads)
        super().__init__(spec, Lanes(spec, problem, 1, device), gathering.exchange)
        (self._lane,) = self._lanes.all
        self._shape_HWC = problem.shape_HWC
        self._sums = device.vector(self.layout.num_summed + NUM_TOTALS)
        """[mean gradient | statistics x samples | totals]; torch reduces the first region, we the others."""
        with _told_as_lost(self._exchange.rank):
            backend = _backend(device, self._exchange)
            _join(self._exchange, gathering.host, spec.engine.silence_deadline_s, backend)
            self._lane.renew()
            self._parallel = DistributedDataParallel(self._lane.network, broadcast_buffers=False)

    def step(self, task: Task, leaf: Leaf) -> Totals:
        started = time.perf_counter()
        collected, flags = _Collected(), aligned_zeros(NUM_TOTALS)
        for index in range(*self.held(task)):
            leaf(collected, index, flags)
        with _told_as_lost(self._exchange.rank):
            self._reduce(collected, flags, task)
        computed = time.perf_counter()
        totals = Totals.of(self._sums)
        mean = self._sums[: self.layout.num_summed]
        mean[self.layout.num_trained :] /= np.float32(totals.samples)
        self._update.apply(self._lanes.state, mean, task.lr, task.global_step + 1)
        self.seconds.compute += computed - started
        self.seconds.optimizer += time.perf_counter() - computed
        return totals

    def close(self) -> None:
        with contextlib.suppress(RuntimeError):
            dist.destroy_process_group()
        self._lanes.close()

    def _reduce(self, collected: _Collected, flags: Vector, task: Task) -> None:
        """Fill `_sums`. A worker without a microbatch in this batch computes two blank samples of weight zero."""
        microbatch = collected.joined()
        weight = 1.0 if microbatch is not None else 0.0
        if microbatch is None:
            blank_NHWC = np.zeros((2, *self._shape_HWC), np.uint8)
            microbatch = Microbatch(blank_NHWC, np.zeros(2, np.int64))
        seeds = (collected.seed, task.global_step, self._exchange.rank)
        self._lane.renew()
        loss = self._lane.forward(microbatch, seeds, self._sums, self._parallel)
        tail = torch.from_numpy(self._sums)[self.layout.num_trained :]
        if not weight:
            tail.zero_()
        elif not math.isfinite(loss.item()):
            raise diverged("loss", f"step {task.global_step}")
        self._sums[-NUM_TOTALS:] += flags
        pending = dist.all_reduce(tail, async_op=True)
        self._lane.backward(loss * (weight * self._exchange.size / task.num_samples), self._sums)
        pending.wait()


class _Collected:
    """In the place of a lane: keeps the microbatches of a step, to compute them in one piece."""

    def __init__(self) -> None:
        self._microbatches: list[Microbatch] = []
        self.seed = 0

    def gradient(self, microbatch: Microbatch, seeds: tuple[int, int, int], into: Vector) -> None:
        self.seed = seeds[0]
        self._microbatches.append(microbatch)

    def evaluate(self, microbatch: Microbatch, into: Vector) -> None:
        raise AssertionError("samples are evaluated by lanes")

    def joined(self) -> Microbatch | None:
        parts = self._microbatches
        if len(parts) < 2:
            return parts[0] if parts else None
        pairs = [part.pairs for part in parts if part.pairs is not None]
        return Microbatch(
            np.concatenate([part.images_NHWC for part in parts]),
            np.concatenate([part.labels_N for part in parts]),
            Pairs(*(np.concatenate(each) for each in zip(*pairs, strict=True))) if pairs else None,
        )


def _backend(device: Device, exchange: Exchange) -> str:
    """What gradients are sent by: NCCL where each worker has a GPU of its own, which it asks for. The same for all."""
    if device.place.type != "cuda" or not dist.is_nccl_available():
        return "gloo"
    words = np.concatenate(all_gather(exchange, np.asarray([device.word])))
    return "cpu:gloo,cuda:nccl" if len(np.unique(words)) == exchange.size else "gloo"


def _join(exchange: Exchange, host: str, deadline_s: float, backend: str) -> None:
    """Make torch's process group; rank 0 listens on a port that the system chooses and tells it by the exchange."""
    if host.startswith("127."):
        os.environ["GLOO_SOCKET_IFNAME"] = os.environ["NCCL_SOCKET_IFNAME"] = "lo"
    rank, size, deadline = exchange.rank, exchange.size, datetime.timedelta(seconds=deadline_s)
    port = np.zeros(1, np.int64)
    peers = range(1, size)
    if rank == 0:
        store = TCPStore(host, 0, size, is_master=True, timeout=deadline, wait_for_workers=False)
        port[0] = store.port
        exchange.swap({peer: [port] for peer in peers}, {})
    else:
        exchange.swap({}, {0: [port]})
        store = TCPStore(host, int(port[0]), size, is_master=False, timeout=deadline, wait_for_workers=False)
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=deadline)


@contextlib.contextmanager
def _told_as_lost(rank: int) -> Iterator[None]:
    """torch tells of a lost peer by a RuntimeError of many lines."""
    try:
        yield
    except RuntimeError as error:
        told = str(error).lower()
        if not (isinstance(error, dist.DistError) or "gloo" in told or "connection" in told):
            raise
        raise PeerLost(f"rank {rank} lost a peer: {str(error).splitlines()[0]}") from error
