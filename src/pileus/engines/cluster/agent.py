"""The process of a host that is not the chief's: it hosts the ranks that the chief places there, until all is over.

It holds nothing of the run: when it dies, or its chief does, its workers end with it, and a new one may take its place.
"""

from __future__ import annotations

import select
import signal
import time
from collections.abc import Callable
from types import FrameType

from pileus.engines.cluster.environment import Cluster
from pileus.engines.cluster.handshake import call
from pileus.engines.cluster.host import Host
from pileus.engines.cluster.link import Link
from pileus.engines.cluster.messages import End, Gone, Over, Place, Relay, ToAgent, Told
from pileus.engines.cluster.reception import listening
from pileus.engines.cluster.secret import read_secret
from pileus.engines.processes.gang import Gang
from pileus.errors import Interrupted, MissingService, WorkFailed

_PAUSE_S = 0.5
"""Between two calls of a chief that is not there yet."""
_LOOK_S = 60.0


def attend(cluster: Cluster, cores: int, deadline_s: float, say: Callable[[str], None]) -> Over:
    """Serve the chief; returns its last word.

    MissingService where this host's port is taken, or no chief answers by the deadline; UsageError where the chief
    refuses this host; WorkFailed where it is gone without a last word. Interrupted after SIGTERM, once the chief has
    saved the run and ended the gang.
    """
    secret = read_secret(cluster)
    with listening(cluster.addresses[cluster.task], str(cluster.task)) as ear:
        host = Host(cluster.addresses[cluster.task], cores, ear)
        try:
            link = _called(cluster, secret, cores, deadline_s)
            say(f"{cluster.told(cluster.task)} is at the service of {cluster.told(cluster.chief)}")
            agent = Agent(link, host)
            before = signal.signal(signal.SIGTERM, agent.take_notice)
            try:
                over = agent.serve()
            finally:
                signal.signal(signal.SIGTERM, before)
                agent.close()
        finally:
            host.close()
    if over is None:
        raise WorkFailed(f"{cluster.told(cluster.chief)}, the chief of this cluster, is gone without a last word.")
    return over


def _called(cluster: Cluster, secret: bytes, cores: int, deadline_s: float) -> Link:
    until = time.monotonic() + deadline_s
    while True:
        try:
            return call(cluster, secret, cores, until)
        except OSError as error:
            left = until - time.monotonic()
            if left <= 0:
                raise MissingService(
                    f"the chief of this cluster, {cluster.told(cluster.chief)}, did not answer {cluster.task} within "
                    f"{deadline_s:g} s: {error.strerror or error}; start it, or raise engine.start_deadline_s."
                ) from error
            time.sleep(min(_PAUSE_S, left))


class Agent:
    """One thread waits for the chief and for the workers at once."""

    def __init__(self, link: Link, host: Host) -> None:
        self._link = link
        self._host = host
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
        """The chief's last word; None where its end of the link is gone, or nonsense comes from it."""
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
