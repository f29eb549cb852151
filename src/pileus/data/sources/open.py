"""From a path or URI to a source: the kind is found out, or said."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pileus.data.sources import (
    cifar,
    digits,
    feedback,
    folder,
    idx,
    manifest,
    outliers,
    records,
    strokes,
    tfrecord,
    tfrecord_files,
)
from pileus.data.sources.ports import ListedSource
from pileus.data.sources.tfrecord import ImageFeatures
from pileus.errors import SourceError, UsageError
from pileus.records.manifest import INDEX_KEY, MANIFEST_KEY, SHARD_KEY
from pileus.store import is_remote

EMBEDDED: dict[str, Callable[[], ListedSource]] = {
    "digits": digits.open_digits,
    "outliers": outliers.open_outliers,
    "several": outliers.open_several,
    "strokes": strokes.open_strokes,
}
KINDS = ("auto", idx.KIND, cifar.KIND, folder.KIND, manifest.KIND, records.KIND, tfrecord.KIND, feedback.KIND)

_FOLDER_MANIFESTS = tuple(f"manifest{suffix}" for suffix in manifest.SUFFIXES)


def open_source(place: str, kind: str = "auto", features: ImageFeatures | None = None) -> ListedSource:
    """The labelled images at `place`; `source.kind` says what they were taken for.

    `place` is a path, a `file:` URI, `embedded:NAME`, or any store's URI of a record set or of feedback; `kind` one of
    KINDS; `features` where TFRecord files have unusual ones. UsageError for an unknown kind or name, SourceError for
    input that cannot be used.
    """
    if features is None or features == ImageFeatures():
        return _open(place, kind)
    if kind not in ("auto", tfrecord.KIND):
        raise UsageError(f"only TFRecord files have features to name (got --kind {kind}); leave the names out.")
    return _open_path(local_path(place), tfrecord.KIND, lambda path: tfrecord.open_tfrecords(path, features))


def local_path(place: str) -> Path:
    """The path that a place names, which need not exist."""
    if place.startswith("file:"):
        return Path(unquote(urlsplit(place).path)).absolute()
    return Path(place).expanduser().absolute()


def _open(place: str, kind: str) -> ListedSource:
    if kind not in KINDS:
        raise UsageError(f"kind must be one of {', '.join(KINDS)} (got {kind!r}){_nearest(kind, KINDS)}")
    scheme, separator, rest = place.partition(":")
    if separator and scheme == "embedded":
        return _open_embedded(rest, kind)
    if is_remote(place) or (separator and scheme == "memory"):
        if kind == feedback.KIND or (kind == "auto" and feedback.is_feedback(place)):
            return feedback.open_feedback(place)
        if kind not in ("auto", records.KIND):
            raise UsageError(
                f"in {scheme}: only record sets and feedback are sources (got --kind {kind}); copy it to a folder."
            )
        return records.open_record_source(place)
    if separator and len(scheme) > 1 and "/" not in scheme and scheme != "file":
        raise UsageError(f"a source is a path, file: URI or embedded:NAME (got {place!r}); copy it to a folder.")
    return _open_path(local_path(place), kind)


def _open_path(path: Path, kind: str, opener: Callable[[Path], ListedSource] | None = None) -> ListedSource:
    try:
        if not path.exists():
            raise SourceError(f"{path} does not exist{_nearest(path.name, _names(path.parent))}")
        return (opener or _OPENERS[detect_kind(path) if kind == "auto" else kind])(path)
    except OSError as error:
        raise SourceError(f"{error.filename or path} cannot be read ({error.strerror or error}); check it.") from error


def detect_kind(path: Path) -> str:
    """What an existing path most likely holds."""
    if path.is_file():
        return _kind_of_file(path)
    names = _names(path)
    if (MANIFEST_KEY in names and INDEX_KEY in names) or any(SHARD_KEY.fullmatch(name) for name in names):
        return records.KIND
    if feedback.HEAD_KEY in names:
        return feedback.KIND
    if idx.find_images(path):
        return idx.KIND
    if cifar.find_batches(path):
        return cifar.KIND
    if any(name in names for name in _FOLDER_MANIFESTS):
        return manifest.KIND
    if tfrecord_files.find_files(path):
        return tfrecord.KIND
    if any(child.is_dir() and not child.name.startswith(".") for child in path.iterdir()):
        return folder.KIND
    raise SourceError(
        f"{path} holds no labelled images (looked for class folders, idx files, CIFAR batches, manifests, "
        "records, TFRecord files); check the path."
    )


def _kind_of_file(path: Path) -> str:
    if path.suffix.lower() in manifest.SUFFIXES:
        return manifest.KIND
    if idx.IMAGES_NAME.fullmatch(path.name):
        return idx.KIND
    if tfrecord_files.find_files(path):
        return tfrecord.KIND
    raise SourceError(f"{path} is no list of images (.csv, .jsonl or idx); name a folder or manifest, or say --kind.")


def _open_embedded(name: str, kind: str) -> ListedSource:
    if kind != "auto":
        raise UsageError(f"embedded data has a kind of its own (got --kind {kind}); leave --kind out.")
    if name not in EMBEDDED:
        known = ", ".join(f"embedded:{known}" for known in EMBEDDED)
        raise UsageError(f"embedded data is one of {known} (got {name!r}){_nearest(name, EMBEDDED)}")
    return EMBEDDED[name]()


def _open_manifest(path: Path) -> ListedSource:
    if path.is_dir():
        found = [path / name for name in _FOLDER_MANIFESTS if (path / name).is_file()]
        if not found:
            raise SourceError(f"{path} holds none of {', '.join(_FOLDER_MANIFESTS)}; name the manifest itself.")
        path = found[0]
    return manifest.open_manifest(path)


def _needs_folder(opener: Callable[[Path], ListedSource]) -> Callable[[Path], ListedSource]:
    def opened(path: Path) -> ListedSource:
        if not path.is_dir():
            raise SourceError(f"{path} must be a folder for this --kind; check the path.")
        return opener(path)

    return opened


_OPENERS: dict[str, Callable[[Path], ListedSource]] = {
    idx.KIND: idx.open_idx,
    cifar.KIND: _needs_folder(cifar.open_cifar),
    folder.KIND: _needs_folder(folder.open_folder),
    manifest.KIND: _open_manifest,
    tfrecord.KIND: tfrecord.open_tfrecords,
    feedback.KIND: _needs_folder(lambda path: feedback.open_feedback(str(path))),
    records.KIND: _needs_folder(lambda path: records.open_record_source(str(path))),
}


def _names(folder_path: Path) -> set[str]:
    return {child.name for child in folder_path.iterdir()} if folder_path.is_dir() else set()


def _nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name."""
    close = difflib.get_close_matches(name, list(known), n=3)
    return f"; did you mean {' or '.join(close)}?" if close else "; check the spelling."
