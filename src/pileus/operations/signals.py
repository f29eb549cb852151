"""Ctrl-C and SIGTERM as a request that the work looks for when it can end in order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequests:
    """Counts the signals since the block began."""

    def __init__(self) -> None:
        self.count = 0
        self.reason = ""
        self.is_notice = False
        """The last was SIGTERM: the machine is about to be taken away."""
        self._at_once = False

    def note(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        self.is_notice = number == signal.SIGTERM
        self.reason = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}.get(signal.Signals(number), str(number))
        if self._at_once:
            raise KeyboardInterrupt(self.reason)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Within the block a request raises KeyboardInterrupt: for work that never looks and leaves nothing behind."""
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False


@contextmanager
def stop_requests() -> Iterator[StopRequests]:
    """Within the block the two signals are counted. Outside the main thread signals go where they went before."""
    requests = StopRequests()
    if threading.current_thread() is not threading.main_thread():
        yield requests
        return
    before = {number: signal.signal(number, requests.note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
