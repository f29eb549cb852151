"""Shards of a source, packed here or by workers elsewhere, who are given partitions: some shards in a row each.

A shard depends on (source, range, options) alone: packed in any order and by anyone, its bytes are the same. One that
an earlier write left whole is kept.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol

from pileus.data.encode import stored
from pileus.data.options import MAX_SHARDS, WriteOptions
from pileus.data.ports import Sample, Source
from pileus.data.splits import settled_split
from pileus.errors import SourceError, UsageError
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
_SHARD_DEADLINE_S = 3600.0


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


Partition = tuple[Piece, ...]
"""What a worker packs as one task. At least one shard."""


@dataclass(frozen=True, kw_only=True)
class Division:
    """How the packing is divided among workers; no byte depends on it. UsageError for impossible values."""

    partitions: int | None = None
    """As many, of as many shards each give or take one, and no more than there are shards. None: each shard is one."""
    cache: bool = True
    """A worker keeps the source, once it has it open, for its later partitions."""

    def __post_init__(self) -> None:
        if self.partitions is not None and not 1 <= self.partitions <= MAX_SHARDS:
            raise UsageError(f"partitions must be in [1, {MAX_SHARDS}] (got {self.partitions}).")

    def partitions_of(self, pieces: Sequence[Piece]) -> list[Partition]:
        """In order, every shard once."""
        num = min(len(pieces), self.partitions or len(pieces))
        bounds = [len(pieces) * number // num for number in range(num + 1)]
        return [tuple(pieces[start:stop]) for start, stop in itertools.pairwise(bounds)]


class Map(Protocol):
    """Calls on workers: an engine's `map`, told how many."""

    def __call__(
        self,
        call: Callable[[Partition], list[ShardPart]],
        items: Sequence[Partition],
        /,
        *,
        deadline_s: float,
        keep: bool,
    ) -> Generator[list[ShardPart], None, None]: ...


class Packers(NamedTuple):
    """Who packs, and how they share it."""

    workers: Map | None
    """None: this process."""
    division: Division


def pack(packing: Packing, partitions: list[Partition], packers: Packers, progress: Progress) -> list[ShardPart]:
    """All shards, in order. In this process it is told of more often than once a partition."""
    told = [0, 0]

    def note(samples: int, size: int) -> None:
        told[0] += samples
        told[1] += size
        progress(told[0], len(packing.source), told[1])

    if packers.workers is None or len(partitions) == 1 or packing.uri.startswith("memory:"):
        return [settle(packing, piece, note) for partition in partitions for piece in partition]
    parts: list[ShardPart] = []
    deadline_s = _SHARD_DEADLINE_S * max(map(len, partitions))
    call = partial(settle_all, packing)
    with closing(packers.workers(call, partitions, deadline_s=deadline_s, keep=packers.division.cache)) as settled:
        for done in settled:
            note(sum(part.shard.records for part in done), sum(int(part.columns.image_length.sum()) for part in done))
            parts += done
    return parts


def settle_all(packing: Packing, partition: Partition) -> list[ShardPart]:
    return [settle(packing, piece) for piece in partition]


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
