"""TFRecord files that others wrote: tf.train.Example records with a picture and a label each.

Their features have no fixed names. Common ones are known, others are told by `ImageFeatures`; what was found is always
said, so that the choice can be made. Files are read through when they are opened, to learn where the pictures are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pileus.data.decode import MAX_FILE_BYTES, encoded_of
from pileus.data.ports import Encoded, Sample, Split
from pileus.data.sources.folder import SPLIT_NAMES
from pileus.data.sources.ports import Row, source_hash
from pileus.data.sources.tfrecord_files import Found, Survey, listed, read_features, records_of, survey_tfrecords
from pileus.errors import SourceError
from pileus.records import frame
from pileus.records.features import Feature, Kind

KIND = "tfrecord"
IMAGE_NAMES = ("image/encoded", "image", "image_raw", "encoded", "image_bytes", "img", "jpeg", "png", "picture")
LABEL_NAMES = (
    "image/class/label",
    "label",
    "image/label",
    "class/label",
    "class",
    "class_id",
    "label_id",
    "target",
    "y",
)
TEXT_NAMES = ("image/class/text", "class/text", "class_name", "label_name", "label/text", "text")
_SIZE_NAMES = (("image/height", "image/width", "image/channels"), ("height", "width", "depth"))

Label = int | str


class ImageFeatures(NamedTuple):
    """Names of features; None: found by the common names."""

    image: str | None = None
    label: str | None = None


class _Place(NamedTuple):
    file: int
    number: int
    """In its file."""
    start: int
    """First byte of the picture in the file."""
    length: int
    shape: tuple[int, int, int] | None
    """(H, W, C) of raw pixels."""
    crc: int


@dataclass(frozen=True, kw_only=True, eq=False)
class TFRecordSource:
    """Pictures in the order of the files' names and of the records."""

    classes: tuple[str, ...]
    files: tuple[Path, ...]
    places: tuple[_Place, ...]
    labels: tuple[int, ...]
    features: tuple[Found, ...]
    chosen: ImageFeatures
    """The features that were taken for picture and label."""
    preprocessing: None = None

    kind = KIND

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Sample:
        label, sample_id, split = self.row(index)
        place = self.places[index]
        path = self.files[place.file]
        try:
            with path.open("rb") as file:
                file.seek(place.start)
                content = file.read(place.length)
        except OSError as error:
            raise SourceError(f"{path} cannot be read ({error.strerror or error}); check the file.") from error
        if len(content) != place.length or frame.crc32c(content) != place.crc:
            raise SourceError(f"{path} was changed while it was read, at record {place.number}; begin again.")
        if place.shape is None:
            return Sample(encoded_of(content, sample_id), label, sample_id, split)
        return Sample(np.frombuffer(content, np.uint8).reshape(place.shape), label, sample_id, split)

    def row(self, index: int) -> Row:
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        place = self.places[index]
        name = self.files[place.file].name
        return Row(self.labels[index], f"{name}/{place.number:08}", _split_of(name))

    @cached_property
    def fingerprint(self) -> str:
        """Over names, labels and pictures; reads every picture once."""
        hashed = source_hash(KIND, self.classes, len(self))
        for index in range(len(self)):
            sample = self[index]
            content = sample.image.content if isinstance(sample.image, Encoded) else sample.image.tobytes()
            hashed.update(source_hash(sample.id, sample.label, len(content), self.places[index].shape).digest())
            hashed.update(content)
        return hashed.hexdigest()


def open_tfrecords(place: Path, features: ImageFeatures = ImageFeatures()) -> TFRecordSource:  # noqa: B008 - a constant
    """SourceError where there is no picture or label in some record; the message names the features there are."""
    survey = survey_tfrecords(place)
    if not survey.records:
        raise SourceError(f"{place} holds no TFRecord files with records; check the path or --kind.")
    chosen = _choose(place, survey, features)
    labels: list[Label] = []
    texts: dict[int, str] = {}
    places: list[_Place] = []
    for index, path in enumerate(survey.files):
        for number, start, data in records_of(path):
            found = read_features(path, number, data)
            where = f"record {number} of {path}"
            labels.append(_label(found, chosen, data, where))
            _learn_text(found, labels[-1], texts, data)
            first, length, shape = _picture(found, chosen, data, where)
            crc = frame.crc32c(data[first : first + length])
            places.append(_Place(index, number, start + first, length, shape, crc))
    classes, positions = _classes(place, labels, texts)
    return TFRecordSource(
        classes=classes,
        files=survey.files,
        places=tuple(places),
        labels=tuple(positions[label] for label in labels),
        features=survey.features,
        chosen=chosen,
    )


def _choose(place: Path, survey: Survey, asked: ImageFeatures) -> ImageFeatures:
    """The features of picture and label: those asked for, or the first of the common names that are there."""
    by_name = {one.name: one for one in survey.features}

    def choose(what: str, wanted: str | None, names: Sequence[str], kinds: Sequence[Kind]) -> str:
        candidates = [wanted] if wanted else names
        for name in candidates:
            if name in by_name and set(by_name[name].kinds) <= set(kinds) and by_name[name].values[0] >= 1:
                return name
        raise SourceError(
            f"{place} has no {what} feature {wanted or 'of a common name'} of kind {' or '.join(kinds)} (got "
            f"{listed(survey.features)}); name it: --{what}-feature NAME"
        )

    return ImageFeatures(
        choose("image", asked.image, IMAGE_NAMES, ("bytes",)),
        choose("label", asked.label, LABEL_NAMES + TEXT_NAMES, ("int64", "bytes")),
    )


def _label(found: dict[str, Feature], chosen: ImageFeatures, data: bytes, where: str) -> Label:
    feature = found.get(chosen.label or "")
    if feature is None or feature.num_values != 1:
        raise SourceError(
            f"{where} must have one label in {chosen.label} (got {feature.num_values if feature else 0})."
        )
    if feature.kind == "int64":
        return feature.numbers[0]
    try:
        return data[slice(*feature.spans[0])].decode()
    except UnicodeDecodeError as error:
        raise SourceError(f"{where} has a label in {chosen.label} that is not UTF-8 text.") from error


def _learn_text(found: dict[str, Feature], label: Label, texts: dict[int, str], data: bytes) -> None:
    """The class name beside a number, where there is one."""
    if isinstance(label, str) or label in texts:
        return
    for name in TEXT_NAMES:
        if name in found and found[name].kind == "bytes" and found[name].num_values == 1:
            texts[label] = data[slice(*found[name].spans[0])].decode(errors="replace")
            return


def _picture(
    found: dict[str, Feature], chosen: ImageFeatures, data: bytes, where: str
) -> tuple[int, int, tuple[int, int, int] | None]:
    """(first byte in the data, length, shape where it is raw pixels)."""
    feature = found.get(chosen.image or "")
    if feature is None or feature.num_values != 1:
        got = feature.num_values if feature else 0
        raise SourceError(f"{where} must have one picture in {chosen.image} (got {got}).")
    first, stop = feature.spans[0]
    if stop - first > MAX_FILE_BYTES:
        raise SourceError(f"{where} has a picture of more than {MAX_FILE_BYTES >> 20} MiB; make it smaller.")
    shape = _raw_shape(found, stop - first)
    if shape is None:
        encoded_of(data[first:stop], where)
    return first, stop - first, shape


def _raw_shape(found: dict[str, Feature], size: int) -> tuple[int, int, int] | None:
    """(H, W, C) where the features beside it say that the bytes are pixels."""
    for names in _SIZE_NAMES:
        sides = [found[name].numbers[0] for name in names if name in found and found[name].numbers]
        if len(sides) == 2:
            sides.append(1 if sides[0] * sides[1] == size else 3)
        if len(sides) == 3 and min(sides) > 0 and sides[2] in (1, 3) and sides[0] * sides[1] * sides[2] == size:
            return sides[0], sides[1], sides[2]
    return None


def _classes(place: Path, labels: Sequence[Label], texts: dict[int, str]) -> tuple[tuple[str, ...], dict[Label, int]]:
    """Names, and the position of each label: numbers in order, whatever the first is; else texts, sorted."""
    numbers = sorted({label for label in labels if isinstance(label, int)})
    words = sorted({label for label in labels if isinstance(label, str)})
    names = [texts.get(number, str(number)) for number in numbers] + words
    if len(set(names)) != len(names):
        names = [str(number) for number in numbers] + words
    if len(names) < 2:
        raise SourceError(f"at least two classes are needed (all {len(labels)} records of {place} are {names[0]!r}).")
    ordered: list[Label] = [*numbers, *words]
    return tuple(names), {label: position for position, label in enumerate(ordered)}


def _split_of(name: str) -> Split | None:
    """By a word of the file's name, as `train-00003-of-00010`."""
    return next((SPLIT_NAMES[word] for word in re.split(r"[-_.]", name.lower()) if word in SPLIT_NAMES), None)
