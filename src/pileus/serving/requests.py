"""From a request to candidates for the model, within limits: what may be one item, as an image of its input.

Nothing of a body is believed: its length, its type, its numbers and its pixels are bounded before they cost
anything. What is wrong with it is a Refusal with the status that interfaces name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, TypeVar

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from pileus.errors import UsageError
from pileus.preprocessing import files
from pileus.preprocessing.drawings import candidates_of_strokes
from pileus.preprocessing.lattice import Box, Candidate, Item
from pileus.preprocessing.pictures import fit_file, picture_size
from pileus.preprocessing.strings import candidates_of_picture
from pileus.preprocessing.strokes import points_of, rasterise
from pileus.preprocessing.writing import NoWriting
from pileus.serving.answers import Refusal
from pileus.spec.preprocessing import Drawing, Preprocessing
from pileus.spec.values import Spec

Headers = Mapping[bytes, bytes]
"""Names in lower case."""

RAW = "application/octet-stream"
STROKES = "application/json"
PICTURES = ("image/png", "image/jpeg")


class Limits(Spec, frozen=True, kw_only=True):
    body_bytes: int = 16 * 1024 * 1024
    strokes_bytes: int = 1024 * 1024
    """Of a body of JSON: it takes some twenty times its length to decode."""
    images: int = 256
    """Of one request for tensors."""
    pixels: int = 32 * 1024 * 1024
    points: int = 10_000
    """Of all strokes of one drawing."""
    deadline_s: float = 30.0
    """Of a request that names none, and the most that one may name."""


class Strokes(msgspec.Struct):
    """The body of a request that draws."""

    strokes: Annotated[
        list[list[Annotated[list[float], Meta(min_length=2, max_length=3)]]],
        Meta(max_length=1000, examples=[[[[10, 10], [90, 12], [40, 95]]]]),
    ]


_decode_strokes = msgspec.json.Decoder(Strokes).decode
_Decoded = TypeVar("_Decoded")


def decoded(decode: Callable[[bytes], _Decoded], body: bytes, rule: str, *, impossible: int = 422) -> _Decoded:
    """What a decoder of JSON makes of a body. 400 where it is no JSON, `impossible` with the rule where it is other."""
    try:
        return decode(body)
    except msgspec.ValidationError as error:
        raise Refusal(impossible, f"{rule}: {error}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refusal(400, f"the body is not JSON: {error}.") from error
    except RecursionError as error:
        raise Refusal(400, "the body is JSON that is nested too deeply; send what is asked for.") from error


def media_type_of(headers: Headers, spec: Preprocessing) -> str:
    """The type of the body, without its parameters; 415 where this model does not read it."""
    found = headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
    read = [*PICTURES, RAW, *([STROKES] if isinstance(spec, Drawing) else [])]
    if found not in read:
        raise Refusal(
            415,
            f"this model reads {', '.join(read)} (got {found or 'no Content-Type'}); send one of these.",
            headers=((b"accept-post", ", ".join(read).encode()),),
        )
    return found


def check_json(headers: Headers) -> None:
    """415 where the body is of another type; also what a page of another site can send unasked is."""
    found = headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
    if found != STROKES:
        raise Refusal(415, f"only {STROKES} is read here (got {found[:100] or 'no Content-Type'}).")


def check_not_encoded(headers: Headers) -> None:
    """415 for a body that would have to be unpacked first: nothing would bound what comes out of it."""
    found = headers.get(b"content-encoding", b"identity").decode("latin-1").strip().lower()
    if found not in ("identity", ""):
        raise Refusal(
            415,
            f"bodies are read as they are (got Content-Encoding: {found[:50]}); send it unpacked.",
            headers=((b"accept-encoding", b"identity"),),
        )


def deadline_of(headers: Headers, limits: Limits) -> float:
    """Seconds from now, from `X-Deadline-Ms`."""
    text = headers.get(b"x-deadline-ms")
    if text is None:
        return limits.deadline_s
    if not text.isdigit() or len(text) > 9 or int(text) == 0:
        raise Refusal(400, f"X-Deadline-Ms is a whole number of milliseconds above 0 (got {text[:20]!r}).")
    return min(int(text) / 1000, limits.deadline_s)


def candidates_of(
    body: bytes, media_type: str, spec: Preprocessing, limits: Limits, *, whole: bool = False
) -> list[Candidate]:
    """From a body of any type. `whole` takes all as one item. A Refusal where it cannot be read."""
    if media_type == RAW:
        return _of_raw(body, spec)
    if media_type in PICTURES:
        return candidates_of_picture_body(body, spec, limits, whole=whole)
    return candidates_of_strokes_body(body, spec, limits, whole=whole)


def candidates_of_strokes_body(body: bytes, spec: Preprocessing, limits: Limits, *, whole: bool) -> list[Candidate]:
    assert isinstance(spec, Drawing)  # media_type_of has refused strokes for others
    strokes = _strokes(body, limits)
    try:
        lines = [points_of(_array(stroke)) for stroke in strokes]
        return [_whole(lines, spec)] if whole else candidates_of_strokes(lines, spec)
    except UsageError as error:
        raise Refusal(422, str(error)) from error


def candidates_of_picture_body(body: bytes, spec: Preprocessing, limits: Limits, *, whole: bool) -> list[Candidate]:
    """A great picture takes up to a second: not for the event loop."""
    try:
        width, height = picture_size(body)
        if width * height > limits.pixels:
            raise Refusal(
                413,
                f"a picture may have {limits.pixels} pixels at most (got {width} x {height}); shrink it.",
            )
        if isinstance(spec, Drawing) and not whole:
            return candidates_of_picture(files.upright(files.opened(body, max_pixels=limits.pixels)), spec)
        fitted = fit_file(body, spec, max_pixels=limits.pixels)
    except NoWriting as error:
        raise Refusal(422, str(error)) from error
    except UsageError as error:
        raise Refusal(400, str(error)) from error
    return [Candidate(0, 1, Item(fitted.image, fitted.box))]


def check_raw(body: bytes, spec: Preprocessing) -> None:
    """422 unless it is exactly one image of the model's input."""
    expected = spec.height * spec.width * spec.channels
    if len(body) != expected:
        shape = f"{spec.height} x {spec.width} x {spec.channels}"
        raise Refusal(422, f"raw input is {expected} bytes, {shape} (got {len(body)}); resize it.")


def _of_raw(body: bytes, spec: Preprocessing) -> list[Candidate]:
    check_raw(body, spec)
    image_HWC = np.frombuffer(body, np.uint8).reshape(spec.height, spec.width, spec.channels)
    return [Candidate(0, 1, Item(image_HWC, (0, 0, spec.width, spec.height)))]


def _strokes(body: bytes, limits: Limits) -> list[list[list[float]]]:
    strokes = decoded(_decode_strokes, body, 'a drawing is {"strokes": [[[x, y], ...], ...]}').strokes
    points = sum(len(stroke) for stroke in strokes)
    if points > limits.points:
        raise Refusal(413, f"a drawing may have at most {limits.points} points (got {points}); send fewer.")
    return strokes


def _array(stroke: list[list[float]]) -> NDArray[np.float64]:
    """(n, 2 or more), where some points carry a time and others none, too."""
    try:
        return np.array(stroke, np.float64)
    except ValueError:
        return np.array([point[:2] for point in stroke], np.float64)


def _whole(lines: list[NDArray[np.float64]], spec: Drawing) -> Candidate:
    image_HWC = rasterise(lines, spec)
    points = np.concatenate(lines)
    low, high = np.floor(points.min(axis=0)), np.ceil(points.max(axis=0))
    box: Box = (int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1]))
    return Candidate(0, 1, Item(image_HWC, box))
