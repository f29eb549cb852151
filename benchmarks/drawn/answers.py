"""A bundle's answers to bodies as a server is sent them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pileus.bundles import Bundle
from pileus.data.sources.scribbles import Lines
from pileus.preprocessing.lattice import Candidate
from pileus.serving.answers import Refusal
from pileus.serving.predictions import Found, found
from pileus.serving.requests import STROKES, Limits, candidates_of

AT_ONCE = 64


class Body(NamedTuple):
    content: bytes
    media_type: str


class Asked(NamedTuple):
    """A question of which the answer is known."""

    body: Body
    text: str


def of_strokes(lines: Lines) -> Body:
    return Body(json.dumps({"strokes": [np.round(line, 2).tolist() for line in lines]}).encode(), STROKES)


def of_picture(picture: Image.Image) -> Body:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return Body(buffer.getvalue(), "image/png")


def answers(bundle: Bundle, bodies: Sequence[Body]) -> Iterator[list[Found]]:
    """In order; nothing for a picture in which no writing is seen."""
    for start in range(0, len(bodies), AT_ONCE):
        questions = [_candidates(bundle, body) for body in bodies[start : start + AT_ONCE]]
        told = iter(found(bundle, [each for each in questions if each]).answers if any(questions) else [])
        yield from (next(told) if each else [] for each in questions)


def text_of(answer: list[Found]) -> str:
    """Without what is rejected, as the server tells it."""
    return "".join(each.label or "" for each in answer)


def share_right(bundle: Bundle, asked: Sequence[Asked]) -> float:
    return float(rights(bundle, asked).mean())


def rights(bundle: Bundle, asked: Sequence[Asked]) -> NDArray[np.bool_]:
    """(N,) whether each answer is the whole text."""
    told = answers(bundle, [each.body for each in asked])
    return np.array([text_of(answer) == each.text for answer, each in zip(told, asked, strict=True)])


def belonging(bundle: Bundle, bodies: Sequence[Body]) -> NDArray[np.float32]:
    """(N,): of what in each answer is taken most for one of the classes; 0 where nothing is found."""
    return np.array([max((_belonging(bundle, each) for each in told), default=0.0) for told in answers(bundle, bodies)])


def _belonging(bundle: Bundle, each: Found) -> float:
    return float(bundle.belonging(np.array(list(each.probabilities.values()), np.float32)))


def _candidates(bundle: Bundle, body: Body) -> list[Candidate]:
    try:
        return candidates_of(body.content, body.media_type, bundle.manifest.preprocessing, Limits())
    except Refusal as refusal:
        if refusal.status != 422:
            raise
        return []
