"""A CSV or JSON-lines list of pictures: `path` and `label`, optionally `split` and `id`.

A relative path is looked for beside the manifest and may not climb out with `..`; an absolute path is taken
as it is.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import msgspec

from pileus.data.sources.files import FileSource, PictureFile
from pileus.data.sources.folder import SPLIT_NAMES
from pileus.errors import SourceError

KIND = "manifest"
SUFFIXES = (".csv", ".jsonl", ".ndjson")

_COLUMNS = ("path", "label", "split", "id")
_MAX_BYTES = 1 << 30
_MAX_LINE = 1 << 16


class _Line(msgspec.Struct):
    """One picture. Other columns are not looked at."""

    path: str
    label: str | int
    split: str | None = None
    id: str | None = None


def open_manifest(place: Path) -> FileSource:
    """Classes are the labels: in numeric order where all are numbers, else sorted."""
    rows = list(_rows(place))
    if not rows:
        raise SourceError(f"{place} lists no pictures; add rows of path,label.")
    classes = _classes([str(line.label) for _, line in rows])
    if len(classes) < 2:
        raise SourceError(f"at least two labels are needed (all {len(rows)} rows of {place} have {classes[0]!r}).")
    labels = {name: label for label, name in enumerate(classes)}
    pictures: list[PictureFile] = []
    seen: dict[str, str] = {}
    for row, line in rows:
        picture = _picture(place, row, line, labels[str(line.label)])
        if picture.id in seen:
            raise SourceError(f"{picture.row} repeats {seen[picture.id]}: both are {picture.id!r}; remove one.")
        seen[picture.id] = picture.row
        pictures.append(picture)
    return FileSource(kind=KIND, classes=tuple(classes), pictures=tuple(pictures))


def _classes(labels: list[str]) -> list[str]:
    names = set(labels)
    if all(name.isascii() and name.isdigit() for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def _picture(place: Path, row: int, line: _Line, label: int) -> PictureFile:
    where = f"{place} row {row}"
    path = Path(line.path)
    if not path.is_absolute() and ".." in path.parts:
        raise SourceError(
            f"{where}: a relative path may not climb out with '..' (got {line.path!r}); make it absolute."
        )
    split_name = (line.split or "").strip().lower()
    if split_name and split_name not in SPLIT_NAMES:
        raise SourceError(f"{where}: split must be train, validation or test (got {line.split!r}).")
    try:
        is_file = (place.parent / path).is_file()
    except (OSError, ValueError):
        is_file = False
    if not is_file:
        raise SourceError(f"{where}: the picture {place.parent / path} does not exist; correct or remove the row.")
    split = SPLIT_NAMES[split_name] if split_name else None
    return PictureFile(place.parent / path, label, line.id or path.as_posix(), split, where)


def _rows(place: Path) -> Iterator[tuple[int, _Line]]:
    """(row number as an editor shows it, line)."""
    try:
        if place.stat().st_size > _MAX_BYTES:
            raise SourceError(f"{place} has more than {_MAX_BYTES >> 20} MiB, too much for a manifest; split it.")
        with place.open(encoding="utf-8-sig", newline="") as file:
            lines = _bounded(file, place)
            yield from _csv_rows(lines, place) if place.suffix.lower() == ".csv" else _json_rows(lines, place)
    except UnicodeDecodeError as error:
        raise SourceError(f"{place} is not UTF-8 text ({error.reason} at byte {error.start}); convert it.") from error
    except OSError as error:
        raise SourceError(f"{place} cannot be read ({error.strerror or error}); check the file.") from error


def _bounded(file: Iterator[str], place: Path) -> Iterator[str]:
    for number, text in enumerate(file, 1):
        if len(text) > _MAX_LINE or "\0" in text:
            raise SourceError(f"{place} row {number} is not a line of text; check the file.")
        yield text


def _csv_rows(lines: Iterator[str], place: Path) -> Iterator[tuple[int, _Line]]:
    reader = csv.DictReader(lines, strict=True)
    try:
        missing = [name for name in ("path", "label") if name not in (reader.fieldnames or ())]
        if missing:
            got = ", ".join(reader.fieldnames or ()) or "nothing"
            raise SourceError(f"{place} must begin with a row that names path and label (got {got:.80}).")
        for row in reader:
            known = {name: (row.get(name) or "").strip() for name in _COLUMNS}
            if not known["path"] or not known["label"] or None in row:
                raise SourceError(
                    f"{place} row {reader.line_num}: needs path and label, and no more cells than the head."
                )
            yield reader.line_num, _Line(**known)
    except csv.Error as error:
        raise SourceError(f"{place} row {reader.line_num} is not CSV ({error}); correct it.") from error


def _json_rows(lines: Iterator[str], place: Path) -> Iterator[tuple[int, _Line]]:
    decoder = msgspec.json.Decoder(_Line)
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        try:
            line = decoder.decode(text)
        except msgspec.DecodeError as error:
            raise SourceError(f"{place} row {number} needs path and label ({error}).") from error
        if not line.path or line.label == "":
            raise SourceError(f"{place} row {number}: path and label must not be empty.")
        yield number, line
