"""The program of a worker process, forked from the nursery.

It lives no longer than its controller: when the channel closes, it ends at once, whatever it is doing.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from pileus.engines.meter import Meter, open_meter
from pileus.engines.processes.channel import Channel, Posting
from pileus.engines.processes.memory import Memory
from pileus.errors import PeerLost
from pileus.machine import keep_freed_memory
from pileus.spec.job import Beat, Failed, Finished, Job, Joined, Leaving, Order, Peers, Report, Stop, Stopped, Used
from pileus.training.exchange.ports import Alone
from pileus.training.exchange.sockets import Listener
from pileus.training.member import work
from pileus.training.seat import Gathering

_BEAT_S = 1.0


class ProcessSeat:
    def __init__(self, posting: Posting, channel: Channel, memory: Memory, ear: socket.socket | None) -> None:
        self.rank = posting.rank
        self.local_rank = posting.local_rank
        self.cores = posting.cores
        self._channel = channel
        self._memory = memory
        self._host, self._ear = posting.host, ear
        self._controller_pid = posting.controller_pid
        self._silence_s = posting.job.spec.engine.silence_deadline_s
        self._attempt = posting.job.attempt
        self._meter: Meter | None = None
        self._position = (0, 0)
        self._doing = "reading records" if posting.job.spec.role(posting.rank) != "server" else "getting ready"
        self._notice = threading.Event()
        self._stop = threading.Event()
        self._peers: tuple[str, ...] = ()
        self._whole = threading.Event()
        threading.Thread(target=self._listen, name="orders", daemon=True).start()
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    @property
    def stop_asked(self) -> bool:
        return self._stop.is_set()

    def join(self, num_workers: int, session: str, deadline_s: float) -> Gathering:
        listener = self.listen() if num_workers > 1 else None
        self.serve(listener.address if listener else "", deadline_s)
        workers, servers = self._peers[:num_workers], tuple(filter(None, self._peers[num_workers:]))
        exchange = listener.connect(self.rank, workers, session, deadline_s, self._silence_s) if listener else Alone()
        return Gathering(exchange, servers, workers[0].rpartition(":")[0] or "127.0.0.1")

    def listen(self) -> Listener:
        return Listener(self._host, self._ear)

    def serve(self, address: str, deadline_s: float) -> None:
        self._doing = "waiting for the gang to be whole"
        self.report(Joined(rank=self.rank, address=address))
        if not self._whole.wait(deadline_s):
            raise PeerLost(f"rank {self.rank} waited {deadline_s:g} s for the gang to be whole.")
        self._doing = ""

    def report(self, report: Report) -> None:
        if isinstance(report, (Finished, Stopped, Failed)):
            self._tell_use()
        try:
            self._channel.send(report)
        except OSError:
            os._exit(1)

    def take_notice(self, number: int, frame: FrameType | None) -> None:
        """A handler of SIGTERM: this process is about to be ended; it goes on until the gang is told to stop."""
        self._notice.set()

    def at(self, epoch: int, step: int) -> None:
        self._position = (epoch, step)

    def keep(self, parts: Sequence[memoryview]) -> None:
        self._memory.keep(parts)

    def kept(self) -> bytes | None:
        return self._memory.kept()

    def signal(self, whom: str, number: signal.Signals) -> None:
        os.kill(os.getpid() if whom == "worker" else self._controller_pid, number)

    def _listen(self) -> None:
        while (orders := self._channel.receive(Order)) is not None:
            for order in orders:
                if isinstance(order, Peers):
                    self._peers = order.addresses
                    self._whole.set()
                elif isinstance(order, Stop):
                    self._stop.set()
        os._exit(1)

    def _beat(self) -> None:
        while True:
            epoch, step = self._position
            self.report(Beat(rank=self.rank, epoch=epoch, step=step, doing=self._doing))
            self._meter = self._meter or open_meter()
            self._tell_use()
            if self._notice.wait(_BEAT_S):
                self._notice.clear()
                self.report(Leaving(rank=self.rank, reason="SIGTERM"))

    def _tell_use(self) -> None:
        look = self._meter.look() if self._meter is not None else None
        if self._meter is not None and look is not None:
            watched = self._meter.watched(f"rank {self.rank}", [look], self._attempt)
            self.report(Used(rank=self.rank, watched=watched))


def live(channel_descriptor: int, stderr_descriptor: int) -> NoReturn:
    """A forked process's whole life."""
    os.dup2(stderr_descriptor, 1)
    os.dup2(stderr_descriptor, 2)
    os.close(stderr_descriptor)
    keep_freed_memory()
    try:
        channel = Channel(socket.socket(fileno=channel_descriptor))
        postings, (first, second, *ears) = channel.receive_with(Posting, 3)
        while postings == []:
            postings = channel.receive(Posting)
        memory = Memory((first, second))
        ear = socket.socket(fileno=ears[0]) if ears else None
        done = postings is not None and _worked(postings[0].job, ProcessSeat(postings[0], channel, memory, ear))
    except BaseException:
        traceback.print_exc()
        done = False
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0 if done else 1)


def _worked(job: Job, seat: ProcessSeat) -> bool:
    signal.signal(signal.SIGTERM, seat.take_notice)
    return work(job, seat)
