"""What a bundle says of itself: everything that serving must know, and a version that is a hash of all of it.

The version covers the hashes of the files, so one version stands for one content: two bundles with the same
version answer alike. The manifest's own bytes are canonical: any other byte, also a space, is damage.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from pileus.errors import Damaged, SpecError
from pileus.spec.preprocessing import Preprocessing
from pileus.spec.values import Spec, canonical_json, digest

MODEL_FILE = "model.onnx"
MANIFEST_FILE = "manifest.json"


class Calibration(Spec, frozen=True, kw_only=True):
    """Probabilities are softmax(logits / temperature); thresholds are on the highest of them."""

    temperature: float = 1.0
    certain: float = 0.9
    """Confidence in [0, 1] from which an answer is certain."""
    rejected: float = 0.4
    """Confidence in [0, 1] under which an answer is none of the classes."""

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
    preprocessing: Preprocessing
    """Gives the model's input too: images (N, height, width, channels) uint8."""
    calibration: Calibration = Calibration()
    metrics: dict[str, float] = msgspec.field(default_factory=dict)
    provenance: Provenance = Provenance()

    def __post_init__(self) -> None:
        if not self.name:
            raise SpecError("a bundle needs a name (got an empty one); give --name.")
        if len(self.classes) < 2 or len(set(self.classes)) != len(self.classes):
            raise SpecError(f"a bundle needs two or more different classes (got {list(self.classes)!r}).")


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
    def short_version(self) -> str:
        """The 16 hexadecimal digits that are shown."""
        return self.version[:16]


def make_manifest(description: BundleDescription, files: dict[str, StoredFile]) -> Manifest:
    fields = {name: getattr(description, name) for name in BundleDescription.__struct_fields__}
    unnamed = Manifest(**fields, files=files, version="")
    return msgspec.structs.replace(unnamed, version=_version(unnamed))


def read_manifest(content: bytes, place: str) -> Manifest:
    """Damaged, naming `place`, unless every byte is as it was written."""
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Damaged(f"{place} is not a bundle's manifest: {error}; make the bundle again.") from error
    if manifest.version != _version(manifest) or canonical_json(manifest) != content:
        raise Damaged(f"{place} was changed after it was written; make the bundle again.")
    if MODEL_FILE not in manifest.files:
        raise Damaged(f"{place} names no {MODEL_FILE}; make the bundle again.")
    return manifest


def _version(manifest: Manifest) -> str:
    return digest(canonical_json(msgspec.structs.replace(manifest, version="")))
