"""A labelled source into a record set, its shards packed by the workers of an engine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial

from pileus.data.packing import Progress
from pileus.data.ports import Source
from pileus.data.write import Division, WriteOptions, WriteSummary, write_records
from pileus.engines.connect import connect
from pileus.engines.ports import Engine, check_workers
from pileus.spec.resolve import split_engine


def write_source(
    source: Source,
    dest: str,
    *,
    options: WriteOptions | None = None,
    engine: str | Engine = "local",
    workers: int = 1,
    division: Division | None = None,
    progress: Progress = lambda done, total, size_bytes: None,
) -> WriteSummary:
    """As `write_records`; the bytes do not depend on engine, workers and division. SpecError for an unknown engine.

    `engine`: by name, where one local worker is this process, or one that is open, and stays so. Interrupted or failed,
    no process of the write is left.
    """
    check_workers(workers)
    with _opened(engine) as chosen:
        packers = None if (engine, workers) == ("local", 1) else partial(chosen.map, workers=workers)
        return write_records(source, dest, options=options, workers=packers, division=division, progress=progress)


@contextlib.contextmanager
def _opened(engine: str | Engine) -> Iterator[Engine]:
    if not isinstance(engine, str):
        yield engine
        return
    name, address = split_engine(engine)
    own = connect(name, address=address)
    try:
        yield own
    finally:
        own.close()
