"""How a front reaches the others: it asks all of them by way of the supervisor, and the one that knows acts.

The supervisor passes messages on and remembers none. A front that dies meanwhile does not reply: who asks has a
deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from typing import NamedTuple

from pileus.serving.feedback import UNKNOWN, Correct, Outcome


class Asked(NamedTuple):
    """To keep a correction of an answer that the asking front does not know."""

    slot: int
    """The asking front's."""
    number: int
    correct: Correct
    num_asked: int = 0
    """Fronts; told by the supervisor."""


class Replied(NamedTuple):
    """To the front of that slot, by one of the others."""

    slot: int
    number: int
    outcome: Outcome
    num_asked: int


def replied(asked: Asked, outcome: Outcome) -> Replied:
    return Replied(asked.slot, asked.number, outcome, asked.num_asked)


class _Asking:
    def __init__(self) -> None:
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.num_unknown = 0


class OtherFronts:
    """On the event loop of the front in `slot`."""

    def __init__(self, slot: int, tell: Callable[[Asked], None]) -> None:
        self._slot, self._tell = slot, tell
        self._asking: dict[int, _Asking] = {}
        self._numbers = count(1)

    async def correct(self, correct: Correct) -> Outcome:
        """The outcome at the one that knows the answer, or UNKNOWN; the caller sets the deadline."""
        number = next(self._numbers)
        asking = self._asking[number] = _Asking()
        try:
            self._tell(Asked(self._slot, number, correct))
            return await asking.outcome
        finally:
            del self._asking[number]

    def hear(self, reply: Replied) -> None:
        asking = self._asking.get(reply.number)
        if asking is None or asking.outcome.done():
            return
        asking.num_unknown += reply.outcome == UNKNOWN
        if reply.outcome != UNKNOWN or asking.num_unknown >= reply.num_asked:
            asking.outcome.set_result(reply.outcome)
