"""One folder of pictures per class, or such folders within `train`, `validation` (or `val`) and `test`."""

from __future__ import annotations

import os
from pathlib import Path

from pileus.data.ports import Split
from pileus.data.sources.files import FileSource, PictureFile
from pileus.errors import SourceError

KIND = "folder"
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif")
SPLIT_NAMES = {
    "train": Split.TRAIN,
    "training": Split.TRAIN,
    "validation": Split.VALIDATION,
    "valid": Split.VALIDATION,
    "val": Split.VALIDATION,
    "test": Split.TEST,
    "testing": Split.TEST,
}

_CLUTTER = {"thumbs.db", "desktop.ini"}


def split_folders(place: Path) -> dict[Split | None, Path]:
    """The folders named for splits, where all folders are; else none."""
    folders = _folders(place)
    if not folders or any(folder.name.lower() not in SPLIT_NAMES for folder in folders):
        return {}
    found: dict[Split | None, Path] = {}
    for folder in folders:
        split = SPLIT_NAMES[folder.name.lower()]
        if split in found:
            raise SourceError(f"{found[split]} and {folder} are both the {split.name.lower()} split; keep one.")
        found[split] = folder
    return found


def open_folder(place: Path) -> FileSource:
    """Classes are the names of the folders, sorted. Hidden files and folders are not looked at."""
    roots: dict[Split | None, Path] = split_folders(place) or {None: place}
    classes = sorted({folder.name for root in roots.values() for folder in _folders(root)})
    if len(classes) < 2:
        got = f"only {classes[0]!r}" if classes else "none"
        raise SourceError(f"at least two class folders are needed in {place} (got {got}); check the path or --kind.")
    pictures = []
    for split, root in sorted(roots.items(), key=lambda item: item[1].name):
        for label, name in enumerate(classes):
            pictures += _pictures(place, root / name, label, split)
    filled = {picture.label for picture in pictures}
    empty = [name for label, name in enumerate(classes) if label not in filled]
    if empty:
        where = next(root / empty[0] for root in roots.values() if (root / empty[0]).is_dir())
        raise SourceError(f"every class needs pictures ({where} has none); add some or remove the folder.")
    _check_learnable(roots, classes, pictures)
    return FileSource(kind=KIND, classes=tuple(classes), pictures=tuple(pictures))


def _check_learnable(roots: dict[Split | None, Path], classes: list[str], pictures: list[PictureFile]) -> None:
    """Where splits are given, training must know every class: another name elsewhere is a mistake."""
    if Split.TRAIN not in roots:
        return
    known = {picture.label for picture in pictures if picture.split == Split.TRAIN}
    stray = next((picture for picture in pictures if picture.label not in known), None)
    if stray:
        raise SourceError(
            f"every class needs training pictures ({stray.path.parent} holds {classes[stray.label]!r}, "
            f"{roots[Split.TRAIN]} does not); rename or add the folder."
        )


def _is_text(path: Path) -> bool:
    """Names come as bytes from the system; those that are no text are given with surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in str(path))


def _folders(place: Path) -> list[Path]:
    return sorted(path for path in place.iterdir() if path.is_dir() and not path.name.startswith("."))


def _pictures(place: Path, folder: Path, label: int, split: Split | None) -> list[PictureFile]:
    """The files of one class, folders below it included."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.startswith(".") or name.lower() in _CLUTTER:
                continue
            path = Path(parent) / name
            if not _is_text(path):
                raise SourceError(f"the name of {str(path)!a} is not UTF-8 text; rename the file.")
            if path.suffix.lower() not in PICTURE_SUFFIXES:
                raise SourceError(f"{path} is not a picture: it must be a PNG or JPEG file; convert or remove it.")
            found.append(PictureFile(path, label, path.relative_to(place).as_posix(), split, ""))
    return found
