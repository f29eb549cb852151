"""Shards of a source, packed here or in several processes.

A shard depends on (source, range, options) alone: packed in any order and by anyone, its bytes are the same. One that
an earlier write left whole is kept.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pileus.data.encode import stored
from pileus.data.options import WriteOptions
from pileus.data.ports import Sample, Source
from pileus.data.splits import settled_split
from pileus.errors import SourceError, WorkFailed
from pileus.records import manifest
from pileus.records.example import Example
from pileus.records.part import ShardPart, kept
from pileus.records.write import write_shard
from pileus.spec.values import canonical_json, digest
from pileus.store import open_store

Progress = Callable[[int, int, int], None]
"""Told (samples done, samples, bytes of images done)."""

_NOTED_SAMPLES = 64
_POLL_S = 0.1


@dataclass(frozen=True, kw_only=True, eq=False)
class Packing:
    """What all shards of one write share; it travels to other processes whole."""

    source: Source
    options: WriteOptions
    uri: str
    origin: manifest.Origin


@dataclass(frozen=True)
class Piece:
    """One shard to pack."""

    name: str
    samples: range


class _Stopped(Exception):  # noqa: N818 - asked to, not failed
    """In another process: the write was given up."""


def pack(packing: Packing, pieces: list[Piece], processes: int, progress: Progress) -> list[ShardPart]:
    """All shards, in order. With several processes `packing` must pickle and the store be within their reach.

    Interrupted or failed, it ends its processes before it raises. WorkFailed where one of them was killed.
    """
    if min(processes, len(pieces)) <= 1 or packing.uri.startswith("memory:"):
        return _pack_here(packing, pieces, progress)
    return _pack_elsewhere(packing, pieces, min(processes, len(pieces)), progress)


def example_of(sample: Sample, classes: tuple[str, ...], options: WriteOptions) -> Example:
    """The record of one sample. SourceError where its label or picture cannot be used."""
    if not 0 <= sample.label < len(classes):
        raise SourceError(f"labels must be in [0, {len(classes)}) ({sample.id} has {sample.label}).")
    content, image_format, (height, width, channels) = stored(sample, options)
    split = int(settled_split(sample.split, sample.id, options.validation))
    return Example(
        content, image_format, height, width, channels, sample.label, classes[sample.label], sample.id, split
    )


def _settle(packing: Packing, piece: Piece, note: Callable[[int, int], None]) -> ShardPart:
    """Write one shard, or find it whole; `note` is told of (more samples, more bytes) now and then."""
    store = open_store(packing.uri)
    plan = digest(canonical_json([packing.origin, piece.samples.start, piece.samples.stop]))
    part = kept(store, piece.name, plan)
    if part is not None:
        note(len(piece.samples), int(part.columns.image_length.sum()))
        return part

    def examples() -> Iterator[Example]:
        samples, size = 0, 0
        for position in piece.samples:
            example = example_of(packing.source[position], packing.source.classes, packing.options)
            samples, size = samples + 1, size + len(example.image)
            if samples == _NOTED_SAMPLES:
                note(samples, size)
                samples, size = 0, 0
            yield example
        note(samples, size)

    return write_shard(store, piece.name, examples(), plan)


def _pack_here(packing: Packing, pieces: list[Piece], progress: Progress) -> list[ShardPart]:
    done = [0, 0]

    def note(samples: int, size: int) -> None:
        done[0] += samples
        done[1] += size
        progress(done[0], len(packing.source), done[1])

    return [_settle(packing, piece, note) for piece in pieces]


@dataclass(frozen=True, eq=False)
class _Shared:
    """What the processes of one write share."""

    samples: Any
    size: Any
    stop: Any

    def note(self, samples: int, size: int) -> None:
        if self.stop.is_set():
            raise _Stopped
        with self.samples.get_lock():
            self.samples.value += samples
            self.size.value += size


class _Worker:
    """State of a packing process, set once by `_begin`."""

    packing: Packing
    shared: _Shared


def _begin(packing: Packing, shared: _Shared) -> None:
    _Worker.packing, _Worker.shared = packing, shared
    threading.Thread(target=_end_with_parent, name="end-with-parent", daemon=True).start()


def _end_with_parent() -> None:
    """A killed writer leaves no process behind."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)


def _settle_in_worker(piece: Piece) -> ShardPart:
    return _settle(_Worker.packing, piece, _Worker.shared.note)


def _pack_elsewhere(packing: Packing, pieces: list[Piece], processes: int, progress: Progress) -> list[ShardPart]:
    context = multiprocessing.get_context("spawn")
    shared = _Shared(context.Value("q", 0), context.Value("q", 0), context.Event())
    with ProcessPoolExecutor(processes, context, _begin, (packing, shared)) as pool:
        try:
            with _deaf_children():
                futures = [pool.submit(_settle_in_worker, piece) for piece in pieces]
            _await(futures, lambda: progress(shared.samples.value, len(packing.source), shared.size.value))
            return [future.result() for future in futures]
        except BrokenProcessPool as error:
            raise WorkFailed(
                f"a process that packed shards for {packing.uri} was killed (out of memory?); run it again: "
                "whole shards are kept, and --processes 1 needs least memory."
            ) from error
        finally:
            shared.stop.set()
            pool.shutdown(cancel_futures=True)


def _await(futures: list[Future[ShardPart]], report: Callable[[], None]) -> None:
    """Until all are done; raises what the first of them in order raised, if any did."""
    waiting = set(futures)
    while waiting:
        done, waiting = wait(waiting, _POLL_S, FIRST_EXCEPTION)
        report()
        if any(future.exception() for future in done):
            raise next(error for future in futures if future.done() and (error := future.exception()))


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Processes started here never see Ctrl-C, which a terminal sends to all: the writer alone decides."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
