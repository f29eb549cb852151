"""Mend a record set from the source that it was written from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pileus.data.options import Encode, WriteOptions
from pileus.data.packing import example_of
from pileus.data.ports import Source
from pileus.errors import UsageError
from pileus.records import RepairReport, manifest, repair_records
from pileus.records.example import Example
from pileus.store import open_store


def repair_from(
    source: Source, place: str, progress: Callable[[int, int], None] = lambda done, total: None
) -> RepairReport:
    """As `repair_records`, bringing back damaged records. UsageError where the set was written from another source."""
    described = manifest.load(open_store(place))
    origin = described.origin
    if origin is None or origin.fingerprint != source.fingerprint:
        whence = f"{origin.kind} {origin.fingerprint[:12]}" if origin else "shards alone"
        raise UsageError(
            f"records come back only from the source that they were written from ({whence}; got {source.kind} "
            f"{source.fingerprint[:12]}); name that one, or leave --from out to drop what is bad."
        )
    if described.dropped:
        raise UsageError(
            f"an earlier repair dropped {described.dropped} records of {place}; "
            "to have them back write the set again in another place: pileus data write SOURCE DEST"
        )
    options = _options(origin)

    def refetch(position: int) -> Example:
        return example_of(source[position], source.classes, options)

    return repair_records(place, refetch, progress)


def _options(origin: manifest.Origin) -> WriteOptions:
    """Those that the set was written with."""
    channels: Literal[1, 3] | None = None if origin.channels is None else 1 if origin.channels == 1 else 3
    encode: Encode = origin.encode  # type: ignore[assignment]  # WriteOptions refuses what is none
    return WriteOptions(
        shard_size_bytes=origin.shard_size_bytes,
        num_shards=origin.num_shards,
        resize=origin.resize,
        channels=channels,
        validation=origin.validation,
        encode=encode,
        quality=origin.quality,
    )
