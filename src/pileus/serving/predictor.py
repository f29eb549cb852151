"""A predictor process: one loaded bundle at the far end of a socket. It ends when the socket does."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress
from pathlib import Path

from pileus.bundles import Bundle
from pileus.bundles.manifest import read_manifest
from pileus.serving.answering import Answerer
from pileus.serving.frames import Batch, Load, Splitter, Unable, decode_to_predictor, framed

_RECEIVE_BYTES = 1 << 18
_LEAST_PRIORITY = 19


def predict_for(link: socket.socket) -> None:
    """The life of the process. Ctrl-C reaches it too; the front says when to end, by closing the socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    call_this_process("pileus-predict")
    with link, suppress(ConnectionError):
        _answer_all(link)


def call_this_process(name: str) -> None:
    """At most 15 letters, shown by ps and top; where the system has no such place, it stays as it was."""
    with suppress(OSError):
        Path("/proc/self/comm").write_text(name)


def _answer_all(link: socket.socket) -> None:
    splitter = Splitter()
    answerer: Answerer | None = None
    while data := link.recv(_RECEIVE_BYTES):
        for frame in splitter.fed(data):
            message = decode_to_predictor(frame)
            if isinstance(message, Batch):
                assert answerer is not None
                link.sendall(framed(answerer.answer(message)))
                continue
            try:
                answerer = _loaded(message)
                link.sendall(framed(answerer.warm_up(message.max_batch)))
            except Exception as error:  # of whatever kind: the front tells it
                link.sendall(framed(Unable(str(error))))
                return


def _loaded(load: Load) -> Answerer:
    if load.background:
        call_this_process("pileus-shadow")
        os.nice(_LEAST_PRIORITY)
    bundle = Bundle(read_manifest(load.manifest, "the bundle"), load.onnx)
    return Answerer(bundle, load.limits)
