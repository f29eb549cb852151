"""The program of one process of a crew: takes items until its pipe is closed, and lives no longer than who maps."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import threading
from multiprocessing.connection import Connection

from pileus.engines.tasks import outcome, outcome_of_kept


def serve(link: Connection, call: bytes, keep: bool) -> None:
    threading.Thread(target=_end_with_parent, name="end-with-parent", daemon=True).start()
    while True:
        try:
            content = link.recv_bytes()
        except EOFError:
            return
        link.send_bytes(outcome_of_kept("", lambda: call, content) if keep else outcome(call, content))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)
