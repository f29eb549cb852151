"""The fake that ships: workers are threads of one process."""

from __future__ import annotations

import threading

from pileus.errors import PeerLost
from pileus.training.exchange.ports import Buffers


class Meeting:
    """What the ends of one gang share. `deadline_s` bounds each wait for a peer."""

    def __init__(self, size: int, deadline_s: float) -> None:
        self.size = size
        self.deadline_s = deadline_s
        self.changed = threading.Condition()
        self.waiting: dict[tuple[int, int, int], list[bytes]] = {}
        """By (sender, receiver, number of the swap)."""
        self.gone: set[int] = set()

    def end(self, rank: int) -> ThreadExchange:
        return ThreadExchange(self, rank)


class ThreadExchange:
    def __init__(self, meeting: Meeting, rank: int) -> None:
        self._meeting = meeting
        self.rank = rank
        self.size = meeting.size
        self._sent = dict.fromkeys(range(meeting.size), 0)
        self._received = dict.fromkeys(range(meeting.size), 0)

    def swap(self, outgoing: Buffers, incoming: Buffers) -> None:
        meeting = self._meeting
        with meeting.changed:
            for peer, arrays in outgoing.items():
                meeting.waiting[self.rank, peer, self._sent[peer]] = [array.tobytes() for array in arrays]
                self._sent[peer] += 1
            meeting.changed.notify_all()
            for peer, arrays in incoming.items():
                letter = (peer, self.rank, self._received[peer])
                in_time = meeting.changed.wait_for(
                    lambda letter=letter, peer=peer: letter in meeting.waiting or peer in meeting.gone,  # type: ignore[misc]
                    meeting.deadline_s,
                )
                if letter not in meeting.waiting:
                    what = "closed its end" if in_time else f"sent nothing for {meeting.deadline_s:g} s"
                    raise PeerLost(f"rank {self.rank} lost rank {peer}: it {what}.")
                for array, content in zip(arrays, meeting.waiting.pop(letter), strict=True):
                    memoryview(array).cast("B")[:] = content  # type: ignore[arg-type]
                self._received[peer] += 1

    def close(self) -> None:
        with self._meeting.changed:
            self._meeting.gone.add(self.rank)
            self._meeting.changed.notify_all()
