"""Shards of a source, packed here or by workers elsewhere.

A shard depends on (source, range, options) alone: packed in any order and by anyone, its bytes are the same. One that
an earlier write left whole is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from pileus.data.encode import stored
from pileus.data.options import WriteOptions
from pileus.data.ports import Sample, Source
from pileus.data.splits import settled_split
from pileus.errors import SourceError
from pileus.records.example import Example
from pileus.records.part import ShardPart, kept
from pileus.records.write import write_shard
from pileus.spec.values import canonical_json, digest
from pileus.store import open_store

Progress = Callable[[int, int, int], None]
"""Told (samples done, samples, bytes of images done)."""

Note = Callable[[int, int], None]
"""Told (more samples, more bytes of images)."""

_NOTED_SAMPLES = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Packing:
    """What all shards of one write share; it travels to other processes whole."""

    source: Source
    options: WriteOptions
    uri: str
    plan: str
    """What the source and the options are, so that shards of another write are not taken for those of this one."""


@dataclass(frozen=True)
class Piece:
    """One shard to pack."""

    name: str
    samples: range


class Map(Protocol):
    """Calls on workers: an engine's `map`, told how many."""

    def __call__(
        self, call: Callable[[Piece], ShardPart], items: Sequence[Piece], /
    ) -> Generator[ShardPart, None, None]: ...


def pack(packing: Packing, pieces: list[Piece], workers: Map | None, progress: Progress) -> list[ShardPart]:
    """All shards, in order. `workers` None: in this process, and told of more often than once a shard."""
    done = [0, 0]

    def note(samples: int, size: int) -> None:
        done[0] += samples
        done[1] += size
        progress(done[0], len(packing.source), done[1])

    if workers is None or len(pieces) == 1 or packing.uri.startswith("memory:"):
        return [settle(packing, piece, note) for piece in pieces]
    parts = []
    with closing(workers(partial(settle, packing), pieces)) as settled:
        for part in settled:
            note(part.shard.records, int(part.columns.image_length.sum()))
            parts.append(part)
    return parts


def settle(packing: Packing, piece: Piece, note: Note = lambda samples, size: None) -> ShardPart:
    """Write one shard, or find it whole."""
    store = open_store(packing.uri)
    plan = digest(canonical_json([packing.plan, piece.samples.start, piece.samples.stop]))
    part = kept(store, piece.name, plan)
    if part is not None:
        note(len(piece.samples), int(part.columns.image_length.sum()))
        return part
    return write_shard(store, piece.name, _examples(packing, piece, note), plan)


def _examples(packing: Packing, piece: Piece, note: Note) -> Iterator[Example]:
    samples, size = 0, 0
    for position in piece.samples:
        example = example_of(packing.source[position], packing.source.classes, packing.options)
        samples, size = samples + 1, size + len(example.image)
        if samples == _NOTED_SAMPLES:
            note(samples, size)
            samples, size = 0, 0
        yield example
    note(samples, size)


def example_of(sample: Sample, classes: tuple[str, ...], options: WriteOptions) -> Example:
    """The record of one sample. SourceError where its label or picture cannot be used."""
    if not 0 <= sample.label < len(classes):
        raise SourceError(f"labels must be in [0, {len(classes)}) ({sample.id} has {sample.label}).")
    content, image_format, (height, width, channels) = stored(sample, options)
    split = int(settled_split(sample.split, sample.id, options.validation))
    return Example(
        content, image_format, height, width, channels, sample.label, classes[sample.label], sample.id, split
    )
