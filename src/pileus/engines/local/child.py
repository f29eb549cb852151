"""The program of a worker process, forked from the nursery.

It lives no longer than its controller: when the channel closes, it ends at once, whatever it is doing.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
import traceback
from typing import NoReturn

from pileus.engines.local.channel import Channel, Posting
from pileus.errors import PeerLost
from pileus.spec.job import Beat, Joined, Order, Peers, Report, Stop
from pileus.training.exchange.ports import Alone, Exchange
from pileus.training.exchange.sockets import Listener
from pileus.training.worker import work

_BEAT_S = 1.0


class ProcessSeat:
    def __init__(self, posting: Posting, channel: Channel) -> None:
        self.rank = posting.rank
        self.cores = posting.cores
        self._channel = channel
        self._controller_pid = posting.controller_pid
        self._position = (0, 0)
        self._stop = threading.Event()
        self._peers: tuple[str, ...] = ()
        self._whole = threading.Event()
        threading.Thread(target=self._listen, name="orders", daemon=True).start()
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    @property
    def stop_asked(self) -> bool:
        return self._stop.is_set()

    def join(self, num_workers: int, session: str, deadline_s: float) -> Exchange:
        listener = Listener() if num_workers > 1 else None
        self.report(Joined(rank=self.rank, address=listener.address if listener else ""))
        if not self._whole.wait(deadline_s):
            raise PeerLost(f"rank {self.rank} waited {deadline_s:g} s for the gang to be whole.")
        return listener.connect(self.rank, self._peers, session, deadline_s) if listener else Alone()

    def report(self, report: Report) -> None:
        try:
            self._channel.send(report)
        except OSError:
            os._exit(1)

    def at(self, epoch: int, step: int) -> None:
        self._position = (epoch, step)

    def die(self, whom: str) -> NoReturn:
        os.kill(os.getpid() if whom == "worker" else self._controller_pid, signal.SIGKILL)
        while True:
            time.sleep(60)

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
            self.report(Beat(rank=self.rank, epoch=epoch, step=step))
            time.sleep(_BEAT_S)


def live(channel_descriptor: int, stderr_descriptor: int) -> NoReturn:
    """A forked process's whole life."""
    os.dup2(stderr_descriptor, 1)
    os.dup2(stderr_descriptor, 2)
    os.close(stderr_descriptor)
    try:
        channel = Channel(socket.socket(fileno=channel_descriptor))
        postings = channel.receive(Posting)
        while postings == []:
            postings = channel.receive(Posting)
        done = postings is not None and work(postings[0].job, ProcessSeat(postings[0], channel))
    except BaseException:
        traceback.print_exc()
        done = False
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0 if done else 1)
