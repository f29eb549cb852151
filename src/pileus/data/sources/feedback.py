"""What people have said of a server's answers: inputs as they were sent, each item with the label that it should have.

A store with a head (classes, preprocessing) and one file a corrected item; a later correction of the item takes the
file's place. Which strokes or which part of a picture an item is follows from its box, among the candidates of the
input: no model is asked again.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, lru_cache
from typing import Literal, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from pileus.data.ports import Encoded, Sample
from pileus.data.sources.ports import Row, source_hash
from pileus.data.splits import split_by_hash
from pileus.errors import AlreadyExists, NotFound, SourceError, UsageError
from pileus.preprocessing import files
from pileus.preprocessing.drawings import candidates_of_strokes
from pileus.preprocessing.lattice import Box, Candidate
from pileus.preprocessing.pictures import fit_file
from pileus.preprocessing.strings import candidates_of_picture
from pileus.preprocessing.strokes import rasterise
from pileus.spec.labels import labels_of
from pileus.spec.preprocessing import Drawing, Preprocessing
from pileus.spec.values import Spec, canonical_json, digest
from pileus.store import Store, open_store

KIND = "feedback"
HEAD_KEY = "feedback.json"
FOLDER = "corrections/"

MediaType = Literal["application/json", "application/octet-stream", "image/png", "image/jpeg"]


class Head(Spec, frozen=True, kw_only=True):
    """Of all corrections in one place."""

    format: Literal[1] = 1
    classes: tuple[str, ...]
    none: str | None = None
    """What an item is called that is of none of the classes; None: the model knows of nothing but them."""
    several: str | None = None
    """The same of one that is more than one of them, and was not cut."""
    preprocessing: Preprocessing

    @property
    def labels(self) -> tuple[str, ...]:
        """That an item can have."""
        return labels_of(self.classes, self.none, self.several)


class Correction(Spec, frozen=True, kw_only=True):
    request_id: str
    item: int
    """Its number in the answer, from the left."""
    label: str
    media_type: MediaType
    input: bytes
    """As it was sent."""
    whole: bool
    """The input was taken as one item."""
    box: Box
    """Of the item, in the units of the input."""
    answered: str
    """The label that was answered; empty where none was."""
    confidence: float
    model: str
    """The version that answered, whole."""
    answered_s: float
    """When, in seconds since 1970 in UTC; likewise:"""
    corrected_s: float

    @property
    def key(self) -> str:
        """Of its file: one for each item of each request."""
        return f"{FOLDER}{digest(canonical_json([self.request_id, self.item, digest(self.input)]))[:32]}.json"

    @property
    def id(self) -> str:
        """The same for the same part of the same input, whoever asked and whenever."""
        return f"{self.input_id}/{','.join(map(str, self.box))}"

    @property
    def input_id(self) -> str:
        """The same for all items of one input: they are trained on together, or held back together."""
        return digest(self.input)[:16]


def prepare_place(store: Store, head: Head) -> None:
    """Make it a place for corrections, or see that it is one of these classes. UsageError where it is another's."""
    try:
        store.put(HEAD_KEY, canonical_json(head), if_absent=True)
    except AlreadyExists:
        found = _decoded(Head, store, HEAD_KEY)
        both = [(found.none, head.none), (found.several, head.several)]
        differ = any(None not in pair and pair[0] != pair[1] for pair in both)
        if (found.classes, found.preprocessing) != (head.classes, head.preprocessing) or differ:
            raise UsageError(
                f"{store.uri} keeps corrections of a model with other classes or another input; name another place."
            ) from None
        none, several = (there if there is not None else here for there, here in both)
        if (none, several) != (found.none, found.several):
            store.put(HEAD_KEY, canonical_json(msgspec.structs.replace(head, none=none, several=several)))


def is_feedback(place: str) -> bool:
    """Whether corrections are kept there."""
    try:
        open_store(place).get(HEAD_KEY)
    except NotFound:
        return False
    return True


def open_feedback(place: str) -> FeedbackSource:
    """Reads all corrections. SourceError where a file is none, or where there are none."""
    store = open_store(place)
    try:
        head = _decoded(Head, store, HEAD_KEY)
    except NotFound as error:
        raise SourceError(f"{store.uri} keeps no corrections: it has no {HEAD_KEY}; name another place.") from error
    newest: dict[str, Correction] = {}
    for correction in sorted(_corrections(store, head), key=lambda correction: correction.corrected_s):
        newest[correction.id] = correction
    if not newest:
        raise SourceError(f"{store.uri} has no corrections yet; correct some answers of its server first.")
    return FeedbackSource(head, [newest[name] for name in sorted(newest)], place)


class FeedbackSource:
    """One sample an item: as the model saw it where that is a drawing, else the picture as it was sent."""

    kind = KIND

    def __init__(self, head: Head, corrections: list[Correction], place: str) -> None:
        given = {correction.label for correction in corrections}
        self.classes = tuple(label for label in head.labels if label in head.classes or label in given)
        self.preprocessing = head.preprocessing if isinstance(head.preprocessing, Drawing) else None
        self._head, self._corrections, self._place = head, corrections, place
        self._rows = [
            Row(self.classes.index(each.label), each.id, split_by_hash(each.input_id)) for each in corrections
        ]
        self._images: dict[int, NDArray[np.uint8] | Encoded] = {}
        """By index: a correction is read as often as it counts, and parting a picture takes milliseconds."""

    @cached_property
    def fingerprint(self) -> str:
        hashed = source_hash(self.kind, self._head)
        for correction in self._corrections:
            hashed.update(canonical_json([correction.id, correction.label, correction.whole]))
            hashed.update(digest(correction.input).encode())
        return hashed.hexdigest()

    def __len__(self) -> int:
        return len(self._corrections)

    def __getitem__(self, index: int) -> Sample:
        label, sample_id, split = self.row(index)
        if index not in self._images:
            correction = self._corrections[index]
            try:
                self._images[index] = _image(correction, self._head.preprocessing)
            except (UsageError, ValueError, msgspec.MsgspecError) as error:
                raise SourceError(f"{self._place}/{correction.key} cannot be read ({error}); remove it.") from error
        return Sample(self._images[index], label, sample_id, split)

    def row(self, index: int) -> Row:
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        return self._rows[index]


def _corrections(store: Store, head: Head) -> Iterator[Correction]:
    for key in store.list(FOLDER):
        correction = _decoded(Correction, store, key)
        if correction.label not in head.labels:
            raise SourceError(f"{store.uri}/{key} has the unknown label {correction.label[:50]!r}; remove it.")
        yield correction


_Decoded = TypeVar("_Decoded", Head, Correction)


def _decoded(kind: type[_Decoded], store: Store, key: str) -> _Decoded:
    try:
        return msgspec.json.decode(store.get(key).content, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        what = kind.__name__.lower()
        raise SourceError(f"{store.uri}/{key} is no {what} as a server writes it ({error}); remove it.") from error


def _image(correction: Correction, spec: Preprocessing) -> NDArray[np.uint8] | Encoded:
    if correction.media_type == "application/octet-stream":
        return np.frombuffer(correction.input, np.uint8).reshape(spec.height, spec.width, spec.channels)
    if correction.media_type == "application/json":
        return _drawn(correction, spec)
    if isinstance(spec, Drawing):
        return _pictured(correction, spec)
    return Encoded(correction.input, "png" if correction.media_type == "image/png" else "jpeg")


def _drawn(correction: Correction, spec: Preprocessing) -> NDArray[np.uint8]:
    if not isinstance(spec, Drawing):
        raise UsageError("these are strokes, which the model does not answer")
    if correction.whole:
        return rasterise(_lines(correction.input), spec)
    return _at_box(correction, _drawn_candidates(correction.input, spec))


def _pictured(correction: Correction, spec: Drawing) -> NDArray[np.uint8]:
    if correction.whole:
        return fit_file(correction.input, spec).image
    return _at_box(correction, _pictured_candidates(correction.input, spec))


def _lines(content: bytes) -> list[NDArray[np.float64]]:
    strokes: list[list[list[float]]] = msgspec.json.decode(content)["strokes"]
    return [np.array([point[:2] for point in stroke], np.float64) for stroke in strokes]


@lru_cache(maxsize=4)
def _drawn_candidates(content: bytes, spec: Drawing) -> list[Candidate]:
    return candidates_of_strokes(_lines(content), spec)


@lru_cache(maxsize=4)
def _pictured_candidates(content: bytes, spec: Drawing) -> list[Candidate]:
    return candidates_of_picture(files.upright(files.opened(content)), spec)


def _at_box(correction: Correction, candidates: list[Candidate]) -> NDArray[np.uint8]:
    for candidate in candidates:
        if candidate.item.box == correction.box:
            return candidate.item.image_HWC
    raise UsageError(f"nothing of it lies just at {correction.box}")
