"""What a bundle says of itself: everything that serving must know, and a version that is a hash of all of it.

The version covers the hashes of the files, so one version stands for one content: two bundles with the same
version answer alike. The manifest's own bytes are canonical: any other byte, also a space, is damage.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from pileus.bundles.reference import Reference
from pileus.errors import Damaged, SpecError
from pileus.spec.labels import labels_of
from pileus.spec.preprocessing import Preprocessing
from pileus.spec.values import Spec, canonical_json, digest

MODEL_FILE = "model.onnx"
MANIFEST_FILE = "manifest.json"


class Calibration(Spec, frozen=True, kw_only=True):
    """Probabilities are softmax(logits / temperature); an answer's confidence is the highest among the classes'."""

    temperature: float = 1.0
    certain: float = 0.9
    """Confidence in [0, 1] from which an answer is certain."""
    rejected: float = 0.4
    """In [0, 1]: an answer is none of the classes under it; its confidence is, or the sum of the classes' probabilities
    where the model knows what is none of them. What is certain is never rejected."""

    def __post_init__(self) -> None:
        if not 0.0 < self.temperature < float("inf"):
            raise SpecError(f"temperature must be above 0 and finite (got {self.temperature}); calibrate again.")
        if not 0.0 <= self.rejected <= self.certain <= 1.0:
            raise SpecError(
                "thresholds must be 0 <= rejected <= certain <= 1 "
                f"(got rejected={self.rejected}, certain={self.certain}); calibrate again."
            )


class Provenance(Spec, frozen=True, kw_only=True):
    """Where the weights come from; empty where it is not known."""

    run: str = ""
    spec: dict[str, Any] = msgspec.field(default_factory=dict)
    """The resolved spec of the run."""
    data: str = ""
    """Fingerprint of the training data."""
    weights: str = ""
    """Fingerprint of the final weights."""
    versions: dict[str, str] = msgspec.field(default_factory=dict)
    """Versions of the libraries that trained and exported."""


class StoredFile(Spec, frozen=True, kw_only=True):
    sha256: str
    size_bytes: int


class BundleDescription(Spec, frozen=True, kw_only=True):
    """What the maker of a bundle says; the files and the version are added when it is written."""

    name: str
    classes: tuple[str, ...]
    """In the order of the model's logits."""
    none: str | None = None
    """What the training data called samples of none of the classes. The model then has one logit more, after those of
    the classes: for that. None: it knows of no such thing."""
    several: str | None = None
    """The same of samples that show more than one item of the classes; its logit is the last, and it needs `none`."""
    preprocessing: Preprocessing
    """Gives the model's input too: images (N, height, width, channels) uint8."""
    calibration: Calibration = Calibration()
    metrics: dict[str, float] = msgspec.field(default_factory=dict)
    reference: Reference | None = None
    """What a server compares with what it sees. None: it cannot."""
    provenance: Provenance = Provenance()

    def __post_init__(self) -> None:
        if not self.name:
            raise SpecError("a bundle needs a name (got an empty one); give --name.")
        if len(self.classes) < 2 or len(set(self.classes)) != len(self.classes):
            raise SpecError(f"a bundle needs two or more different classes (got {list(self.classes)!r}).")
        for name in {self.none, self.several} & {*self.classes}:
            raise SpecError(f"what is none of the classes cannot be one of them (got {name!r}); name it otherwise.")
        if self.several is not None and self.none in (None, self.several):
            raise SpecError(
                f"several items are told from what is none of the classes (got {self.several!r} for them, and "
                f"{self.none!r} for none); name the two differently."
            )


class Manifest(BundleDescription, frozen=True, kw_only=True):
    format: Literal[1] = 1
    files: dict[str, StoredFile]
    version: str
    """SHA-256 of the canonical text of this manifest with an empty version."""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of one image."""
        return self.preprocessing.height, self.preprocessing.width, self.preprocessing.channels

    @property
    def labels(self) -> tuple[str, ...]:
        """What its logits are for, in order."""
        return labels_of(self.classes, self.none, self.several)

    @property
    def short_version(self) -> str:
        """The 16 hexadecimal digits that are shown."""
        return self.version[:16]


def make_manifest(description: BundleDescription, files: dict[str, StoredFile]) -> Manifest:
    fields = {name: getattr(description, name) for name in BundleDescription.__struct_fields__}
    unnamed = Manifest(**fields, files=files, version="")
    return msgspec.structs.replace(unnamed, version=digest(canonical_json(unnamed)))


def read_manifest(content: bytes, place: str) -> Manifest:
    """Damaged, naming `place`, unless every byte is as it was written, be it before some of the fields were known."""
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
        written = msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Damaged(f"{place} is not a bundle's manifest: {error}; make the bundle again.") from error
    if manifest.version != digest(canonical_json({**written, "version": ""})) or canonical_json(written) != content:
        raise Damaged(f"{place} was changed after it was written; make the bundle again.")
    if MODEL_FILE not in manifest.files:
        raise Damaged(f"{place} names no {MODEL_FILE}; make the bundle again.")
    return manifest
