"""The hosts that have called the chief and are still there."""

from __future__ import annotations

import contextlib

from pileus.engines.hosts.handshake import Arrival, Rejected
from pileus.engines.hosts.link import Link
from pileus.engines.hosts.messages import Over
from pileus.engines.hosts.reception import Reception


class Agents:
    """By name. One thread uses it."""

    def __init__(self, reception: Reception) -> None:
        self.links: dict[str, Link] = {}
        self.refusals: dict[str | None, str] = {}
        """The latest, by who called."""
        self._reception = reception

    def welcome(self) -> list[str]:
        """Those that have called since; one that comes again takes the place of who it was before."""
        came = []
        while not self._reception.arrivals.empty():
            arrival = self._reception.arrivals.get_nowait()
            match arrival:
                case Arrival():
                    self.drop(arrival.name)
                    self.links[arrival.name] = arrival.link
                    self.refusals.pop(arrival.name, None)
                    came.append(arrival.name)
                case Rejected():
                    self.refusals[arrival.name] = arrival.reason
        return came

    def drop(self, name: str) -> None:
        link = self.links.pop(name, None)
        if link is not None:
            link.close()

    def dismiss(self, over: Over) -> None:
        """Tell all how it ended; none is left."""
        self.welcome()
        for name, link in list(self.links.items()):
            with contextlib.suppress(OSError):  # it is gone already
                link.send(over)
            self.drop(name)

    def close(self, over: Over) -> None:
        """None is left, and no more are let in."""
        self.dismiss(over)
        self._reception.close()
