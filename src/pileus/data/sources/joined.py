"""Several sources as one: what a run trains on when no single source has all that its model should know."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

from pileus.data.ports import Sample, Split
from pileus.data.sources.ports import ListedSource, Row, source_hash
from pileus.data.splits import settled_split
from pileus.errors import SourceError
from pileus.spec.labels import labels_of
from pileus.spec.preprocessing import Preprocessing

KIND = "joined"


class Joint(NamedTuple):
    """One of the sources, and how it is taken."""

    name: str
    """As the user named it; of two of one name the second gives training samples alone."""
    source: ListedSource


def join(joints: Sequence[Joint], *, none: str | None, validation: float, several: str | None = None) -> JoinedSource:
    """The classes are the first source's; `none` and `several` are others, and the last of all, in this order.

    Splits are those of the sources; `validation` is the share of train to hold back in those without a validation part.
    SourceError where a source has other classes, or `none` or `several` is a class of none of them.
    """
    beside = {"none": none, "several": several}
    own = [name for name in joints[0].source.classes if name not in beside.values()]
    classes = labels_of(own, none, several)
    for name, source in joints:
        unknown = sorted(set(source.classes) - set(classes))
        if unknown:
            raise SourceError(
                f"joined sources have the classes of the first, {joints[0].name} (got {unknown[0]!r} in {name}); "
                "rename it, or leave that source out."
            )
    for setting, wanted in beside.items():
        if wanted is not None and not any(wanted in source.classes for _, source in joints):
            raise SourceError(
                f"data.{setting} is a class of a source (got {wanted!r}, which is in none); name one, or leave it out."
            )
    return JoinedSource(tuple(joints), classes, validation)


class JoinedSource:
    """Samples in the order of the sources, under ids that begin with the number of theirs."""

    kind = KIND

    def __init__(self, joints: tuple[Joint, ...], classes: tuple[str, ...], validation: float) -> None:
        self.classes = classes
        self._joints = joints
        self._validation = validation
        self._labels = [[classes.index(name) for name in source.classes] for _, source in joints]
        names = [name for name, _ in joints]
        self._repeats = [name in names[:number] for number, name in enumerate(names)]
        self._shares = [0.0 if _has_validation(source) else validation for _, source in joints]
        self._places = [
            (number, index)
            for number, (_, source) in enumerate(joints)
            for index in range(len(source))
            if not self._repeats[number] or self._row(number, source.row(index)).split == Split.TRAIN
        ]

    def __reduce__(self) -> tuple[type[JoinedSource], tuple[tuple[Joint, ...], tuple[str, ...], float]]:
        return JoinedSource, (self._joints, self.classes, self._validation)

    @cached_property
    def fingerprint(self) -> str:
        prints = [source.fingerprint for _, source in self._joints]
        return source_hash(self.kind, self.classes, self._validation, self._repeats, prints).hexdigest()

    @property
    def preprocessing(self) -> Preprocessing | None:
        """The first source's, where all have images of its shape."""
        found = [source.preprocessing for _, source in self._joints]
        shapes = {(one.height, one.width, one.channels) if one else None for one in found}
        return found[0] if len(shapes) == 1 else None

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Sample:
        number, place = self._place(index)
        sample = self._joints[number].source[place]
        return Sample(sample.image, *self._row(number, Row(sample.label, sample.id, sample.split)))

    def row(self, index: int) -> Row:
        number, place = self._place(index)
        return self._row(number, self._joints[number].source.row(place))

    def _row(self, number: int, row: Row) -> Row:
        """What a source's own row is here."""
        split = settled_split(row.split, row.id, self._shares[number])
        return Row(self._labels[number][row.label], f"{number}/{row.id}", split)

    def _place(self, index: int) -> tuple[int, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        return self._places[index]


def _has_validation(source: ListedSource) -> bool:
    return any(source.row(index).split == Split.VALIDATION for index in range(len(source)))
