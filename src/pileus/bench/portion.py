"""What a study reads: so many samples of a source, evenly spread over it."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from pileus.data.ports import Sample, Source
from pileus.data.sources.files import FileSource
from pileus.spec.preprocessing import Preprocessing
from pileus.spec.run import RunSpec
from pileus.spec.values import canonical_json, digest


@dataclass(frozen=True, kw_only=True, eq=False)
class Portion:
    """Each sample is in the part that it belongs to."""

    source: Source
    count: int

    @property
    def kind(self) -> str:
        return self.source.kind

    @property
    def classes(self) -> tuple[str, ...]:
        return self.source.classes

    @property
    def preprocessing(self) -> Preprocessing | None:
        return self.source.preprocessing

    @property
    def fingerprint(self) -> str:
        return digest(canonical_json([known(self.source), "portion", self.count]))

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.count:
            raise IndexError(f"sample {index} of {self.count}")
        return self.source[index * len(self.source) // self.count]


def known(source: Source) -> str:
    """What a source is known by, without reading all its files."""
    return source.outline if isinstance(source, FileSource) else source.fingerprint


def reading(spec: RunSpec, source: str) -> RunSpec:
    """The same run of other data."""
    return msgspec.structs.replace(spec, data=msgspec.structs.replace(spec.data, source=source))


def portion_of(source: Source, most: int | None) -> Source:
    """The source itself where it has no more."""
    return source if most is None or len(source) <= most else Portion(source=source, count=most)
