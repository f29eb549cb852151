from __future__ import annotations

import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.errors import PeerLost
from pileus.serving.frames import (
    Batch,
    FromPredictor,
    Kind,
    Load,
    Piece,
    Question,
    Ready,
    Replies,
    Reply,
    Splitter,
    Tally,
    ToPredictor,
    Unable,
    decode_from_predictor,
    decode_to_predictor,
    framed,
)
from pileus.serving.requests import Limits

TO: list[ToPredictor] = [
    Load(b"{}", b"\x00" * 100, 64, Limits(points=7)),
    Batch(
        3,
        [Question(Kind.STROKES, b"{}", True), Question(Kind.RAW, bytes(20), pieces=[Piece(0, 1, -0.5, (1, 2, 3, 4))])],
    ),
]
FROM: list[FromPredictor] = [
    Ready(8, 0.1, 0.8),
    Unable("no"),
    Replies(3, [Reply(200, b"x")], 0.5, Tally(1, (1, 0, 0), [0] * 10, [0] * 10, 0xABCDEF012345, ([1, 2], [3]))),
]


@given(st.lists(st.integers(1, 400), max_size=20))
def test_frames_come_out_whole_however_they_are_cut(cuts: list[int]) -> None:
    stream = b"".join([*map(framed, TO), *map(framed, FROM)])
    splitter, at = Splitter(), 0
    frames: list[bytes] = []
    for length in [*cuts, len(stream)]:
        frames += splitter.fed(stream[at : at + length])
        at += length
    assert [decode_to_predictor(frame) for frame in frames[:2]] == TO
    assert [decode_from_predictor(frame) for frame in frames[2:]] == FROM


def test_a_length_beyond_all_reason_is_refused() -> None:
    with pytest.raises(PeerLost, match="at most"):
        list(Splitter().fed(struct.pack("<I", (1 << 30) + 1)))


@given(st.binary(max_size=60))
def test_any_bytes_are_a_message_or_an_error_of_the_decoder(content: bytes) -> None:
    for decode in (decode_from_predictor, decode_to_predictor):
        try:
            decode(content)
        except msgspec.MsgspecError:
            continue
