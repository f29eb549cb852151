"""Servers and workers over real sockets: what breaks is made good once, or named."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from signal import Signals

import msgspec
import numpy as np
import pytest

from pileus.data.batches import Microbatch
from pileus.errors import PeerLost
from pileus.models.registry import build
from pileus.spec.job import Finished, Job, Report, Stopped
from pileus.spec.optimizer import Adam, Sgd
from pileus.spec.run import Data, Engine, ParameterServer, RunSpec, Single
from pileus.training.checkpoint import Tensors
from pileus.training.exchange.ports import Alone
from pileus.training.exchange.sockets import Listener
from pileus.training.gradient import Computes
from pileus.training.layout import Layout, aligned_zeros
from pileus.training.network import Problem
from pileus.training.seat import Gathering
from pileus.training.strategies.make import make_learner
from pileus.training.strategies.parameter_server.client import Caller, Request, Servers
from pileus.training.strategies.parameter_server.plan import Extent, extents
from pileus.training.strategies.parameter_server.server import serve
from pileus.training.strategies.parameter_server.shard import BUCKETS
from pileus.training.strategies.parameter_server.wire import Head, Incoming, Kind, Outgoing, Refused, Seal
from pileus.training.strategies.ports import Learner, Task
from pileus.training.tree import Vector

SIZE = 32
EXTENT = Extent(0, SIZE, SIZE, SIZE)
SEAL = Seal.of("word")


class _Ended(BaseException):
    pass


class ServerSeat:
    """A server's place beside the test."""

    cores = 1
    stop_asked = False

    def __init__(self, rank: int) -> None:
        self.rank = self.local_rank = rank
        self.address = ""
        self.listens = threading.Event()
        self.ended = threading.Event()
        self.reports: list[Report] = []

    def join(self, num_workers: int, session: str, deadline_s: float) -> Gathering:
        raise AssertionError("a server joins nobody")

    def listen(self) -> Listener:
        return Listener()

    def serve(self, address: str, deadline_s: float) -> None:
        self.address = address
        self.listens.set()

    def report(self, report: Report) -> None:
        self.reports.append(report)

    def at(self, epoch: int, step: int) -> None:
        if self.ended.is_set():
            raise _Ended

    def keep(self, parts: Sequence[memoryview]) -> None:
        raise AssertionError("a server keeps nothing")

    def kept(self) -> bytes | None:
        return None

    def signal(self, whom: str, number: Signals) -> None:
        raise AssertionError("no fault was asked for")


def spec_of(workers: int, silence_s: float = 20.0) -> RunSpec:
    return RunSpec(
        model="digits_cnn",
        data=Data(source="embedded:digits"),
        workers=workers,
        optimizer=Sgd(momentum=0.0),
        strategy=ParameterServer(),
        engine=Engine(silence_deadline_s=silence_s),
    )


class Hosted:
    """One server in a thread."""

    def __init__(self, spec: RunSpec) -> None:
        self.seat = ServerSeat(rank=spec.workers)
        self.error: BaseException | None = None
        job = Job(run_uri="memory:none", records_uri="memory:none", spec=spec, attempt=1, session="word")
        self.thread = threading.Thread(target=self._run, args=(job,))
        self.thread.start()
        assert self.seat.listens.wait(10)

    def _run(self, job: Job) -> None:
        try:
            serve(job, self.seat)
        except (PeerLost, _Ended) as error:
            self.error = error

    def end(self) -> None:
        self.seat.ended.set()
        self.thread.join(10)
        assert not self.thread.is_alive()


@pytest.fixture
def alone() -> Iterator[Hosted]:
    """A server of one worker."""
    hosted = Hosted(spec_of(1))
    yield hosted
    hosted.end()


def caller(worker: int = 0, workers: int = 1, answer_s: float = 10.0) -> Caller:
    return Caller(SEAL, worker, workers, answer_s=answer_s, call_s=2.0)


def begun(servers: Servers, state: float = 1.0) -> None:
    start = aligned_zeros(SIZE)
    start[:] = state
    servers.ask([Request(Head(Kind.BEGIN), [np.asarray(EXTENT, np.int64), start])])


def pushed(servers: Servers, clock: int, gradient: float = 1.0) -> float:
    """The weights after one step with a rate of 0.5."""
    state = aligned_zeros(SIZE)
    head = Head(Kind.PUSH, clock=clock, lr=0.5, num_leaves=1, samples=1)
    servers.ask([Request(head, [np.full(SIZE, gradient, np.float32)], [state])])
    assert (state == state[0]).all()
    return float(state[0])


def num_pushes(servers: Servers, clock: int) -> int:
    histogram = np.zeros(BUCKETS, np.int64)
    servers.ask([Request(Head(Kind.SETTLE, clock=clock), [], [histogram])])
    return int(histogram.sum())


class Cutting:
    """Between a worker and a server: hands all on, but cuts the first connections when the answer to a push comes."""

    def __init__(self, upstream: str, cuts: int) -> None:
        self._upstream = upstream
        self._cuts = cuts
        self._ear = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._ear.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._ear.accept()
                host, port = self._upstream.split(":")
                far = socket.create_connection((host, int(port)))
                up = threading.Thread(target=self._pump, args=(near, far))
                up.start()
                if self._cuts:
                    self._cuts -= 1
                    far.recv(1)
                else:
                    self._pump(far, near)
                for end in (near, far):
                    with contextlib.suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)
                up.join(10)
                near.close()
                far.close()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while part := source.recv(1 << 16):
                sink.sendall(part)
            sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._ear.shutdown(socket.SHUT_RDWR)
        self._ear.close()
        self._thread.join(10)
        assert not self._thread.is_alive()


def test_a_push_whose_answer_was_lost_counts_once(alone: Hosted) -> None:
    direct = Servers([alone.seat.address], caller())
    begun(direct)
    direct.close()
    cutting = Cutting(alone.seat.address, cuts=3)
    servers = Servers([cutting.address], caller())
    assert pushed(servers, 0) == 0.5
    assert pushed(servers, 1) == 0.0
    assert num_pushes(servers, 2) == 2
    servers.close()
    cutting.close()


def test_an_end_is_reported_as_the_workers_tell_it(alone: Hosted) -> None:
    servers = Servers([alone.seat.address], caller())
    begun(servers)
    pushed(servers, 0)
    servers.ask([Request(Head(Kind.RELEASE, clock=1), [np.frombuffer(b"f" * 64, np.uint8)])])
    alone.thread.join(10)
    assert alone.seat.reports == [Finished(rank=1, step=1, fingerprint="f" * 64)]
    servers.close()


def test_a_stop_is_reported_when_every_worker_has_gone() -> None:
    hosted = Hosted(spec_of(2))
    ends = [Servers([hosted.seat.address], caller(worker, 2)) for worker in range(2)]
    begun(ends[0])
    ends[0].ask([Request(Head(Kind.RELEASE))])
    assert not hosted.seat.reports
    ends[1].ask([Request(Head(Kind.RELEASE, 1))])
    hosted.thread.join(10)
    assert hosted.seat.reports == [Stopped(rank=2, step=0)]
    hosted.end()
    for end in ends:
        end.close()


def test_what_other_workers_push_waits_for_the_beginning() -> None:
    hosted = Hosted(spec_of(2))
    second = Servers([hosted.seat.address], caller(1, 2))
    state = aligned_zeros(SIZE)
    head = Head(Kind.PUSH, 1, lr=0.5, num_leaves=2, samples=1)
    request = Request(head, [np.ones(SIZE, np.float32)], [state])
    early = threading.Thread(target=second.ask, args=([request],))
    early.start()
    first = Servers([hosted.seat.address], caller(0, 2))
    begun(first)
    mine = aligned_zeros(SIZE)
    first.ask([Request(head._replace(worker=0), [np.ones(SIZE, np.float32)], [mine])])
    early.join(10)
    assert (state == 0.5).all() and (mine == 0.5).all()
    hosted.end()
    first.close()
    second.close()


def test_a_push_out_of_order_is_refused_and_said(alone: Hosted) -> None:
    servers = Servers([alone.seat.address], caller())
    begun(servers)
    with pytest.raises(
        PeerLost, match="rank 0 did not get on with server rank 1: worker 0 pushed step 4, where step 0"
    ):
        pushed(servers, 4)
    servers.close()


def test_a_push_of_another_size_is_refused(alone: Hosted) -> None:
    servers = Servers([alone.seat.address], caller())
    begun(servers)
    with pytest.raises(PeerLost, match="kind PUSH, step 0, with 1 arrays is not due"):
        servers.ask([Request(Head(Kind.PUSH, num_leaves=1, samples=1), [np.ones(SIZE + 1, np.float32)])])
    servers.close()


def test_strangers_are_hung_up_on_and_the_worker_is_served(alone: Hosted) -> None:
    host, port = alone.seat.address.split(":")
    stranger = socket.create_connection((host, int(port)))
    stranger.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n" + bytes(64))
    other = Servers([alone.seat.address], caller()._replace(seal=Seal.of("another")))
    with pytest.raises(PeerLost, match="could not reach it again"):
        begun(other)
    servers = Servers([alone.seat.address], caller())
    begun(servers)
    assert pushed(servers, 0) == 0.5
    stranger.settimeout(5)
    with contextlib.suppress(ConnectionResetError):
        assert stranger.recv(1) == b""
    stranger.close()
    servers.close()


def test_a_server_that_has_ended_is_named_at_once() -> None:
    hosted = Hosted(spec_of(1))
    servers = Servers([hosted.seat.address], caller())
    begun(servers)
    hosted.end()
    with pytest.raises(PeerLost, match="rank 0 lost server rank 1: it has ended"):
        pushed(servers, 0)
    servers.close()


def test_a_silent_server_is_named_at_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        servers = Servers([f"127.0.0.1:{silent.getsockname()[1]}"], caller(answer_s=0.2))
        with pytest.raises(PeerLost, match=r"rank 0 waited 0.2 s in vain for server rank 1"):
            begun(servers)
        servers.close()


def test_a_worker_that_does_not_come_back_is_named() -> None:
    hosted = Hosted(spec_of(1, silence_s=0.3))
    servers = Servers([hosted.seat.address], caller())
    begun(servers)
    servers.close()
    hosted.thread.join(10)
    assert "waited 0.3 s in vain for rank 0" in str(hosted.error)
    hosted.end()


@pytest.mark.parametrize("num_servers", [1, 2, 3, 40])
def test_shards_are_whole_tensors_and_together_all(num_servers: int) -> None:
    layout = Layout.of(build("digits_cnn", (8, 8, 1), 10, seed=0))
    shards = extents(layout, num_servers)
    assert [shard.start for shard in shards] == [0, *[shard.stop for shard in shards[:-1]]]
    assert shards[-1].stop == layout.num_summed
    starts = {slot.start for slot in layout.parameters} | {layout.num_summed}
    assert {shard.start for shard in shards} <= starts
    largest = max(slot.stop - slot.start for slot in layout.parameters)
    assert max(shard.size for shard in shards) <= layout.num_summed / num_servers + largest + 16


def over_a_pair(content: bytes) -> Head | None:
    here, there = socket.socketpair()
    with here, there:
        there.setblocking(False)
        here.sendall(content)
        here.shutdown(socket.SHUT_WR)
        return Incoming(SEAL, lambda head, lengths: [np.empty(length, np.uint8) for length in lengths]).receive(there)


def frame_of(seal: Seal) -> bytes:
    here, there = socket.socketpair()
    with here, there:
        assert Outgoing(seal, Head(Kind.HELLO, 3, 7), [np.arange(4, dtype=np.uint8)]).send(here)
        return there.recv(1 << 16)


def test_a_frame_comes_back_as_it_was_sent() -> None:
    assert over_a_pair(frame_of(SEAL)) == Head(Kind.HELLO, 3, 7)


def test_frames_of_another_session_or_too_large_are_refused() -> None:
    with pytest.raises(Refused, match="no frame of this session"):
        over_a_pair(frame_of(Seal.of("another")))
    with pytest.raises(ConnectionResetError):
        over_a_pair(frame_of(SEAL)[:-1])
    huge = frame_of(SEAL)[:-12] + (1 << 60).to_bytes(8, "little")
    with pytest.raises(Refused, match="too large"):
        over_a_pair(huge)


def learnt(learner: Learner, num_steps: int) -> tuple[str, Tensors]:
    """Fingerprint and tensors after steps of two microbatches of noise."""

    def leaf(lane: Computes, index: int, into: Vector) -> None:
        generator = np.random.default_rng(index)
        images_NHWC = generator.integers(0, 256, (3, 16, 16, 3), np.uint8)
        lane.gradient(Microbatch(images_NHWC, np.arange(3)), (0, 0, index), into)

    for step in range(num_steps):
        learner.step(Task(step, num_leaves=2, num_samples=6, lr=0.01), leaf)
    learner.settle()
    return learner.fingerprint(), {name: tensor.copy() for name, tensor in learner.tensors().items()}


def test_statistics_of_norms_are_cut_without_a_trace_and_all_is_given_back() -> None:
    """Against a learner that has all in one place."""
    problem = Problem((16, 16, 3), 10)
    spec = msgspec.structs.replace(spec_of(1), model="resnet9", optimizer=Adam(), ema=0.9)
    hosted = [Hosted(spec) for _ in range(3)]
    gathering = Gathering(Alone(), tuple(each.seat.address for each in hosted), session="word")
    served = make_learner(spec, problem, gathering, 1)
    alone = make_learner(msgspec.structs.replace(spec, strategy=Single()), problem, gathering, 1)
    try:
        fingerprint, tensors = learnt(served, 2)
        expected, whole = learnt(alone, 2)
        assert fingerprint == expected
        assert {name: tensor.tobytes() for name, tensor in tensors.items()} == {
            name: tensor.tobytes() for name, tensor in whole.items()
        }
    finally:
        for learner in (served, alone):
            learner.close()
        for each in hosted:
            each.end()
