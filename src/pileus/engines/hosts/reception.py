"""The chief's ear: it takes calls for as long as the run goes on, so that a host may come late or come again."""

from __future__ import annotations

import queue
import socket
import threading
import time

from pileus.engines.hosts.handshake import Arrival, Door, Rejected, answer

_MOST_CALLERS = 64
"""At once, strangers among them; later ones wait in the backlog of the system."""
_MOST_WAITING = 4096
_END_DEADLINE_S = 10.0
_PAUSE_S = 0.05


class Reception:
    """Agents that have called are taken from `arrivals`, in the order of their coming."""

    def __init__(self, ear: socket.socket, door: Door) -> None:
        """Takes over the listening socket."""
        self.arrivals: queue.Queue[Arrival | Rejected] = queue.Queue(maxsize=_MOST_WAITING)
        self._door = door
        self._room = threading.BoundedSemaphore(_MOST_CALLERS)
        self._closed = threading.Event()
        self._socket = ear
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
            arrival = answer(connection, self._door)
            try:
                self.arrivals.put_nowait(arrival)
            except queue.Full:
                if isinstance(arrival, Arrival):
                    arrival.link.close()
        finally:
            self._room.release()
