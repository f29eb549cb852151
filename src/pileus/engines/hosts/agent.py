"""What serves the chief on another host: it hosts the ranks that the chief places there, until all is over.

It holds nothing of the run: when it dies, or its chief does, its workers end with it, and a new one may take its place.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from types import FrameType

from pileus.engines.hosts.host import Host
from pileus.engines.hosts.link import Link
from pileus.engines.hosts.messages import End, Gone, Over, Place, Relay, ToAgent, Told
from pileus.engines.processes.gang import Gang
from pileus.errors import Interrupted

_LOOK_S = 1.0


class Agent:
    """One thread waits for the chief and for the workers at once."""

    def __init__(self, link: Link, host: Host, is_wanted: Callable[[], bool] = lambda: True) -> None:
        """`is_wanted` is asked each second: False where whoever started this agent has gone."""
        self._link = link
        self._host = host
        self._is_wanted = is_wanted
        self._gang: Gang | None = None
        self._number = 0
        self._leaving = False

    def take_notice(self, number: int, frame: FrameType | None) -> None:
        """A handler of SIGTERM, which comes before a host is taken away: its workers have the run saved meanwhile."""
        if self._leaving or self._gang is None:
            raise Interrupted("SIGTERM: this host leaves its cluster.")
        self._leaving = True
        self._gang.notify()

    def serve(self) -> Over | None:
        """The chief's last word; None where its end of the link is gone, nonsense comes from it, or nobody wants us."""
        asked_s = time.monotonic()
        while True:
            waited: list[Link | Gang] = [self._link, *([self._gang] if self._gang else [])]
            ready, _, _ = select.select(waited, [], [], _LOOK_S)
            try:
                if self._gang in ready:
                    self._tell()
                if self._link in ready:
                    said: list[ToAgent] | None = self._link.receive(ToAgent)
                    if said is None:
                        return None
                    for message in said:
                        if isinstance(message, Over):
                            return message
                        self._obey(message)
            except OSError:
                return None
            if time.monotonic() - asked_s >= _LOOK_S:
                asked_s = time.monotonic()
                if not self._is_wanted():
                    return None

    def close(self) -> None:
        """No worker is left."""
        self._end()
        self._link.close()

    def _obey(self, message: Place | Relay | End) -> None:
        match message:
            case Place():
                self._end()
                self._number = message.gang
                self._gang = self._host.gang(message.job, message.ranks)
            case Relay() if self._gang and message.gang == self._number:
                self._gang.send(message.order)
            case End():
                self._end()
                self._link.send(Gone(gang=message.gang))
                if self._leaving:
                    raise Interrupted("SIGTERM: this host leaves its cluster; the run was saved before.")

    def _tell(self) -> None:
        assert self._gang is not None
        while (event := self._gang.next(0.0)) is not None:
            self._link.send(Told(gang=self._number, event=event))

    def _end(self) -> None:
        if self._gang is not None:
            self._gang.end()
            self._gang = None
