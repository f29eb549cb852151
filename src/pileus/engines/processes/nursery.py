"""The process that workers are forked from: it has imported all that they need, once.

Importing torch takes longer than anything else in the start of a worker. The nursery runs no thread and no arithmetic,
so that forking it is safe. It imports without collecting garbage, which is a tenth sooner, and what is there by then no
collection looks at again, in its workers neither.

`python -m pileus.engines.processes.nursery FD` serves requests on a socket:

    controller -> nursery   'fork', with two descriptors: the worker's channel and its stderr
    nursery -> controller   'started PID', and when a worker has ended 'ended PID STATUS'

It ends when the controller closes the socket or dies.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from typing import NoReturn

from pileus.engines.meter import open_meter

Live = Callable[[int, int], NoReturn]
_MESSAGE_BYTES = 64


def main() -> None:
    live = _imported()
    link = socket.socket(fileno=int(sys.argv[1]))
    woken, wake = socket.socketpair()
    wake.setblocking(False)
    woken.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(wake.fileno())
    try:
        _serve(link, woken, wake, live)
    except ConnectionError:
        return  # the controller has died
    finally:
        signal.set_wakeup_fd(-1)  # workers may end after this


def _imported() -> Live:
    gc.disable()
    from pileus.engines.processes.child import live  # noqa: PLC0415 - brings torch, while nothing is collected

    open_meter()  # has psutil imported here, and not by each worker
    gc.freeze()
    gc.enable()
    return live


def _serve(link: socket.socket, woken: socket.socket, wake: socket.socket, live: Live) -> None:
    """Until the controller closes the link."""
    while True:
        ready, _, _ = select.select([link, woken], [], [])
        if woken in ready:
            with contextlib.suppress(BlockingIOError):
                woken.recv(4096)
            _tell_ended(link)
        if link in ready:
            message, descriptors, _, _ = socket.recv_fds(link, _MESSAGE_BYTES, 2)
            if not message:
                return
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for own in (link, woken, wake):
                    own.close()
                live(*descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
            link.send(f"started {pid}".encode())


def _tell_ended(link: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        link.send(f"ended {pid} {os.waitstatus_to_exitcode(status)}".encode())


if __name__ == "__main__":
    main()
