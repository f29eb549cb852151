"""Who is dead and who is only slow, told from signs of life and a clock's values; no clock is read here.

A member that is slow goes on to show signs of life; one that is dead, stopped or cut off does not. Only the listener's
own clock counts, so that clocks may differ between machines, and only while it listens: when the listener itself was
held up (stopped, asleep, waiting for a store), the signs that came meanwhile lie unread, and silence proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

LONGEST_LOOK_S = 1.0
"""Of more than so many seconds between two looks the rest does not count."""


class Attention:
    """A clock that runs while its owner looks at it."""

    def __init__(self, now: float) -> None:
        self._looked = now
        self.seconds = 0.0

    def look(self, now: float) -> None:
        """`now` comes from any clock that never goes back."""
        self.seconds += min(now - self._looked, LONGEST_LOOK_S)
        self._looked = now


class Heartbeats:
    """The last sign of life of each member, in seconds of the listener's attention."""

    def __init__(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._heard: dict[int, float] = {}
        self._left: set[int] = set()

    def begin(self, ranks: Iterable[int], at_s: float) -> None:
        """These members of a gang live now; others count from their first sign on."""
        self._heard = dict.fromkeys(ranks, at_s)
        self._left = set()

    def hear(self, rank: int, at_s: float) -> None:
        if rank not in self._left:
            self._heard[rank] = at_s

    def forget(self, rank: int) -> None:
        """It has said its last word: what is still under way from it counts for nothing."""
        self._left.add(rank)
        self._heard.pop(rank, None)

    def silent(self, at_s: float) -> tuple[int, float] | None:
        """The member that is silent for the longest, past the deadline, and for how many seconds."""
        if not self._heard:
            return None
        rank = min(self._heard, key=lambda each: (self._heard[each], each))
        silence_s = at_s - self._heard[rank]
        return (rank, silence_s) if silence_s > self._deadline_s else None
