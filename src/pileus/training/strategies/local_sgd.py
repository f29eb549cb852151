"""Local SGD: workers step by themselves on their share of each batch, and average their weights once a round.

A round is `steps` batches long, and ends with its epoch at the latest. What a worker changed since the round's begin is
weighed by the samples that it took; an outer step with Nesterov momentum takes the average over (McMahan et al., 2017;
Stich, 2019; DiLoCo: Douillard et al., 2023). A round costs a worker 2 (W-1)/W times the state's bytes without
compression, as one step of all-reduce does; with it, its code once to each peer.

With `balance` the shares follow the speed of the last round. A local step always has a fixed number of microbatches,
so a slow worker does fewer steps, and weighs less; every sample of a round is still taken once.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from pileus.spec.run import LocalSgd, RunSpec
from pileus.training.checkpoint import Tensors
from pileus.training.compression import Plain, Sender, make_code
from pileus.training.exchange.collect import all_gather
from pileus.training.exchange.ports import Exchange
from pileus.training.gradient import NUM_TOTALS, Totals
from pileus.training.lanes import Lanes, Leaf, restore
from pileus.training.layout import aligned_zeros
from pileus.training.replica import Replica
from pileus.training.strategies.ports import Task
from pileus.training.tree import Node, Vector
from pileus.training.update import Update

_OWN = "worker/"
"""Before what one worker alone remembers: its optimiser's vectors, and what compression left out."""
_OUTER = "optimizer/outer/"
_NOTHING = Totals(0.0, 0.0, 0.0)


class LocalLearner(Replica):
    tells_all = False
    in_step = False

    def __init__(self, spec: RunSpec, lanes: Lanes, exchange: Exchange) -> None:
        assert isinstance(spec.strategy, LocalSgd)
        self._strategy = spec.strategy
        super().__init__(lanes, exchange)
        self.may_settle = spec.strategy.steps is not None
        size = self.layout.num_summed
        self._update = Update(spec, self.layout)
        self._update.begin(lanes.state)
        self._anchor = lanes.state[:size].copy()
        """The state that the round began with, the same on every worker."""
        self._velocity = aligned_zeros(self.layout.num_trained)
        self._code = make_code(spec.strategy)
        self._sender = Sender(self._code, size)
        self._gradient = aligned_zeros(size + NUM_TOTALS)
        self._local_leaves = max(1, spec.num_microbatches // exchange.size)
        """Microbatches of one local step."""
        self._summed_leaves = self._round_steps = 0
        self._round = _NOTHING
        self._round_s = 0.0
        self._latest = Task(0, 0, 0, 0.0)
        self._others: Tensors = {}
        self.shares = 0
        self.rates = np.ones(exchange.size)
        """Of the workers in the last round, in samples a second; `held` follows it."""

    def held(self, task: Task) -> Node:
        if not self._strategy.balance:
            return self._even_share(task.num_leaves)
        return weighted_share(self._exchange.rank, self.rates, task.num_leaves)

    def step(self, task: Task, leaf: Leaf) -> Totals:
        """This worker's own totals; what rank 0 asks for is told by the step that ends a round."""
        started = time.perf_counter()
        held = self.held(task)
        own = self._add(held, task.num_leaves, leaf) if held[0] < held[1] else _NOTHING
        self._latest = task
        if self._summed_leaves >= self._local_leaves:
            self._local_step()
        self._round += own
        self._round_steps += 1
        self._round_s += time.perf_counter() - started
        asked = self._end_round() if self._round_steps == self._strategy.steps else _NOTHING
        return own._replace(stops=asked.stops, commits=asked.commits)

    def settle(self) -> None:
        if self._round_steps:
            self._end_round()
        self._others = self._gathered()

    def evaluate(self, num_leaves: int, leaf: Leaf) -> Totals:
        return self._evaluated(num_leaves, leaf)

    def tensors(self) -> Tensors:
        outer = self.layout.named_arrays(self._velocity, _OUTER)
        return self._lanes.tensors() | self._update.tensors() | self._own() | outer | self._others

    def restore(self, tensors: Tensors) -> None:
        """What workers remembered who are not there any more, of compression, rank 0 takes over."""
        restore(self._lanes.tensors(), tensors)
        self._anchor[:] = self._lanes.state[: len(self._anchor)]
        restore(self._update.tensors(), tensors, all_of_them=False)
        restore(self.layout.named_arrays(self._velocity, _OUTER), tensors, all_of_them=False)
        restore(self._own(), tensors, all_of_them=False)
        if self._exchange.rank == 0:
            for name, view in self.layout.named_arrays(self._sender.residual).items():
                rank = self._exchange.size
                while (left := tensors.get(f"{_OWN}{rank}/residual/{name}")) is not None:
                    view += left
                    rank += 1

    def mark(self) -> None:
        return None

    def close(self) -> None:
        self._lanes.close()

    def _add(self, held: Node, num_leaves: int, leaf: Leaf) -> Totals:
        """Add a share of a batch to what the next local step takes."""
        sums = self._lanes.sums(held, num_leaves, leaf, len(self._gradient))
        own = _NOTHING
        for node in sorted(sums):
            self._gradient += sums[node]
            own += Totals.of(sums[node])
        self._lanes.free(sums)
        self._summed_leaves += held[1] - held[0]
        return own

    def _local_step(self) -> None:
        samples = Totals.of(self._gradient).samples
        mean = self._gradient[: self.layout.num_summed]
        mean /= np.float32(samples)
        self._update.apply(self._lanes.state, mean, self._latest.lr, self._latest.global_step + 1)
        self._gradient[:] = 0.0
        self._summed_leaves = 0

    def _end_round(self) -> Totals:
        """Average, step, begin the next round; the totals of the round over all workers."""
        if self._summed_leaves:
            self._local_step()
        started = time.perf_counter()
        size = len(self._anchor)
        change = self._lanes.vector(size + NUM_TOTALS)
        np.subtract(self._anchor, self._lanes.state[:size], out=change[:size])
        change[size:] = self._round
        total = self._total(change)
        totals = Totals.of(total)
        mean = total[:size]
        mean /= np.float32(totals.samples)
        self._outer_step(mean)
        self._lanes.state[:size] = self._anchor
        if self._strategy.balance:
            self._measure()
        self._round, self._round_steps, self._round_s = _NOTHING, 0, 0.0
        self.seconds.exchange += time.perf_counter() - started
        return totals

    def _total(self, change: Vector) -> Vector:
        """[sum over the workers of samples x change | totals] from one worker's [change | totals]."""
        exchange, size = self._exchange, len(self._anchor)
        total = aligned_zeros(len(change))
        if isinstance(self._code, Plain):
            change[:size] *= np.float32(self._round.samples)
            self._reduction.agree({(exchange.rank, exchange.rank + 1): change}, exchange.size, total)
            return total
        peers = [rank for rank in range(exchange.size) if rank != exchange.rank]
        mine = [*self._sender.encode(change[:size]), change[size:].copy()]
        come = {peer: [*self._code.blank(size), np.empty(NUM_TOTALS, np.float32)] for peer in peers}
        exchange.swap(dict.fromkeys(peers, mine), come)
        come[exchange.rank] = mine
        for rank in sorted(come):
            *arrays, totals = come[rank]
            self._code.decode(arrays, change[:size])
            change[:size] *= totals[Totals._fields.index("samples")]
            change[size:] = totals
            total += change
        return total

    def _outer_step(self, mean: Vector) -> None:
        """Nesterov's, in torch.optim's form, on the parameters; statistics are averaged."""
        border = self.layout.num_trained
        step = mean[:border]
        if self._strategy.outer_momentum:
            self._velocity *= np.float32(self._strategy.outer_momentum)
            self._velocity += step
            step += np.float32(self._strategy.outer_momentum) * self._velocity
        step *= np.float32(self._strategy.outer_lr)
        self._anchor -= mean

    def _measure(self) -> None:
        """Have all know the speed of each in this round."""
        before = float(self.rates[self._exchange.rank])
        rate = self._round.samples / max(self._round_s, 1e-9) if self._round.samples else before
        self.rates = np.concatenate(all_gather(self._exchange, np.asarray([rate])))
        self.shares += 1

    def _own(self) -> Tensors:
        """What this worker alone remembers."""
        prefix = f"{_OWN}{self._exchange.rank}/"
        named: Tensors = {}
        for slot, flat in self._update.slots.items():
            named |= self.layout.named_arrays(flat, f"{prefix}{slot}/")
        if not isinstance(self._code, Plain):
            named |= self.layout.named_arrays(self._sender.residual, f"{prefix}residual/")
        return named

    def _gathered(self) -> Tensors:
        """On rank 0, what every other worker remembers; nothing elsewhere."""
        exchange = self._exchange
        own = self._own()
        if exchange.rank > 0:
            exchange.swap({0: list(own.values())} if own else {}, {})
            return {}
        mine = f"{_OWN}0/"
        others: Tensors = {}
        for peer in range(1, exchange.size):
            others |= {f"{_OWN}{peer}/{name.removeprefix(mine)}": np.empty_like(view) for name, view in own.items()}
        coming = {
            peer: [array for name, array in others.items() if name.startswith(f"{_OWN}{peer}/")]
            for peer in range(1, exchange.size)
        }
        exchange.swap({}, coming if own else {})
        return others


def weighted_share(rank: int, rates: NDArray[np.float64], num_leaves: int) -> Node:
    """[low, high): contiguous shares in proportion to the rates; rank 0 is never without one."""
    until = np.concatenate([[0.0], np.cumsum(rates)]) / rates.sum()
    low, high = np.ceil(until[rank : rank + 2] * num_leaves - 1e-9)
    return int(low), int(high)
