"""What a front and its predictors say to one another over a socket: length-prefixed MessagePack, typed, without pickle.

A predictor speaks first only to say that it is ready, or why it cannot be; then each batch is answered by one reply.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum

import msgspec

from pileus.errors import PeerLost
from pileus.preprocessing.lattice import Box
from pileus.serving.requests import Limits

MAX_BYTES = 1 << 30
"""Of one frame: far above any batch, and bounds what a broken length can ask for."""
_LENGTH = struct.Struct("<I")


class Kind(IntEnum):
    """What a question's body is."""

    RAW = 0
    """The bytes of one or more images, H x W x C each."""
    STROKES = 1
    """JSON, as a client sent it."""
    NUMBERS = 2
    """JSON: the bytes of one or more images as numbers, in one list or in lists by H, W and C."""


class Piece(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """What of a picture an image shows: as `lattice.Candidate`, without its pixels."""

    start: int
    stop: int
    prior: float
    box: Box


class Output(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """A tensor that is asked for."""

    name: str
    binary: bool


class Tensors(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """Every image of the question is answered by itself, and all answers are told as tensors."""

    id: str
    """The client's own name of the request; it is told back where it is not empty."""
    images: int
    outputs: list[Output]


class Question(msgspec.Struct, array_like=True, gc=False, frozen=True):
    kind: Kind
    body: bytes
    whole: bool = False
    """Strokes are taken as one item."""
    pieces: list[Piece] | None = None
    """Of the images of a raw body, where they were cut from a picture: the model chooses among them."""
    weight: int = 1
    """That it counts for in the queue: about so many images, or what takes as long."""
    tensors: Tensors | None = None
    """None is told as a prediction."""


class Load(msgspec.Struct, array_like=True, tag=0, frozen=True):
    """The first frame to a predictor: what it is to answer with."""

    manifest: bytes
    onnx: bytes
    max_batch: int
    limits: Limits
    background: bool = False
    """It computes only what the machine has to spare."""


class Batch(msgspec.Struct, array_like=True, tag=1, frozen=True):
    number: int
    questions: list[Question]


class Reply(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """Of one question. `body` is the text of a prediction from its `text` on, or tensors, or a refusal's detail."""

    status: int
    body: bytes
    json_bytes: int = 0
    """Of the body, where binary tensors follow its JSON."""


class Tally(msgspec.Struct, array_like=True, frozen=True):
    """What the items of one batch were, for the metrics."""

    images: int
    verdicts: tuple[int, int, int]
    """certain, unsure, rejected"""
    confidence: list[int]
    """By tenths."""
    ink: list[int]
    """By tenths of the mean of an image's bytes over 255."""
    model: int = 0
    """As `drift.number_of`."""
    bins: tuple[list[int], ...] = ()
    """By drift.FEATURES, items in each bin of the model's reference; empty where it has none."""


class Ready(msgspec.Struct, array_like=True, tag=0, frozen=True):
    max_batch: int
    """Questions a batch: as many as asked for, or fewer where the model is slow."""
    question_s: float
    """Of one question in a full batch."""
    batch_s: float
    """Of a full batch."""


class Unable(msgspec.Struct, array_like=True, tag=1, frozen=True):
    reason: str


class Replies(msgspec.Struct, array_like=True, tag=2, frozen=True):
    number: int
    """Of the batch."""
    replies: list[Reply]
    """In the order of its questions."""
    compute_s: float
    tally: Tally


ToPredictor = Load | Batch
FromPredictor = Ready | Unable | Replies

_encode = msgspec.msgpack.Encoder().encode
decode_to_predictor = msgspec.msgpack.Decoder(ToPredictor).decode
decode_from_predictor = msgspec.msgpack.Decoder(FromPredictor).decode


def framed(message: ToPredictor | FromPredictor) -> bytes:
    content = _encode(message)
    return _LENGTH.pack(len(content)) + content


class Splitter:
    """Bytes as they come to whole frames. PeerLost for a length above MAX_BYTES."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def fed(self, data: bytes) -> Iterator[bytes]:
        buffer = self._buffer
        buffer += data
        while len(buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer)
            if length > MAX_BYTES:
                raise PeerLost(f"a frame has at most {MAX_BYTES} bytes (got {length}); the other side is broken.")
            end = _LENGTH.size + length
            if len(buffer) < end:
                return
            frame = bytes(memoryview(buffer)[_LENGTH.size : end])
            del buffer[:end]
            yield frame
