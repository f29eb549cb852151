"""The chief's ear: it takes calls for as long as the run goes on, so that a host may come late or come again."""

from __future__ import annotations

import queue
import socket
import threading
import time

from pileus.engines.cluster.environment import Address, Cluster
from pileus.engines.cluster.handshake import Arrival, Rejected, answer
from pileus.errors import MissingService

_BACKLOG = 512
_MOST_CALLERS = 64
"""At once, strangers among them; later ones wait in the backlog of the system."""
_MOST_WAITING = 4096
_END_DEADLINE_S = 10.0
_PAUSE_S = 0.05


def listening(address: Address, whose: str) -> socket.socket:
    """MissingService where the port cannot be had."""
    try:
        return socket.create_server((address.interface, address.port), backlog=_BACKLOG)
    except OSError as error:
        raise MissingService(
            f"{whose} listens at port {address.port}, which cannot be had: {error.strerror}; "
            "end what holds it (another run?), or name another port in TF_CONFIG on every host."
        ) from error


class Reception:
    """Agents that have called are taken from `arrivals`, in the order of their coming."""

    def __init__(self, cluster: Cluster, secret: bytes) -> None:
        self.arrivals: queue.Queue[Arrival | Rejected] = queue.Queue(maxsize=_MOST_WAITING)
        self._cluster = cluster
        self._secret = secret
        self._room = threading.BoundedSemaphore(_MOST_CALLERS)
        self._closed = threading.Event()
        self._socket = listening(cluster.addresses[cluster.task], f"the chief of a cluster ({cluster.task})")
        self._thread = threading.Thread(target=self._accept, name="reception")
        self._thread.start()

    def close(self) -> None:
        """Returns when the port is free; arrivals that nobody took are hung up on."""
        self._closed.set()
        self._socket.shutdown(socket.SHUT_RDWR)  # wakes who accepts
        self._thread.join(_END_DEADLINE_S)
        self._socket.close()
        until = time.monotonic() + _END_DEADLINE_S
        for _ in range(_MOST_CALLERS):  # until nobody is being heard
            self._room.acquire(timeout=max(0.0, until - time.monotonic()))
        while not self.arrivals.empty():
            arrival = self.arrivals.get_nowait()
            if isinstance(arrival, Arrival):
                arrival.link.close()

    def _accept(self) -> None:
        while not self._closed.is_set():
            self._room.acquire()
            try:
                connection, _ = self._socket.accept()
            except OSError:  # closed, a caller that hung up already, or no descriptor to be had
                self._room.release()
                self._closed.wait(_PAUSE_S)
                continue
            threading.Thread(target=self._hear, args=(connection,), name="caller", daemon=True).start()

    def _hear(self, connection: socket.socket) -> None:
        try:
            arrival = answer(connection, self._cluster, self._secret)
            try:
                self.arrivals.put_nowait(arrival)
            except queue.Full:
                if isinstance(arrival, Arrival):
                    arrival.link.close()
        finally:
            self._room.release()
