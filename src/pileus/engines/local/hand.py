"""The program of one process of a crew: takes items until its pipe is closed, and lives no longer than who maps."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import pickle
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from pileus.errors import WorkFailed


def serve(link: Connection, call: Callable[[Any], Any]) -> None:
    threading.Thread(target=_end_with_parent, name="end-with-parent", daemon=True).start()
    while True:
        try:
            content = link.recv_bytes()
        except EOFError:
            return
        link.send_bytes(_outcome(call, content))


def _outcome(call: Callable[[Any], Any], content: bytes) -> bytes:
    """Pickled: whether it is a result, and what was returned or raised."""
    try:
        return pickle.dumps((True, call(pickle.loads(content))))  # from the process that started this one
    except Exception as error:
        error.add_note(f"in process {os.getpid()}:\n{traceback.format_exc()}")
        return _told(error)


def _told(error: Exception) -> bytes:
    """An error as what it is, where it comes back from a pickle; else by its name."""
    try:
        content = pickle.dumps((False, error))
        pickle.loads(content)
    except Exception:
        return pickle.dumps((False, WorkFailed(f"{type(error).__qualname__}: {error}")))
    return content


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)
