"""A labelled source into a record set, its shards packed by the workers of an engine."""

from __future__ import annotations

from functools import partial

from pileus.data.packing import Progress
from pileus.data.ports import Source
from pileus.data.write import WriteOptions, WriteSummary, write_records
from pileus.engines.connect import connect
from pileus.engines.ports import check_workers


def write_source(
    source: Source,
    dest: str,
    *,
    options: WriteOptions | None = None,
    engine: str = "local",
    workers: int = 1,
    progress: Progress = lambda done, total, size_bytes: None,
) -> WriteSummary:
    """As `write_records`; the bytes do not depend on engine and workers. SpecError for an unknown engine.

    One local worker is this process. Interrupted or failed, no process is left.
    """
    check_workers(workers)
    chosen = connect(engine)
    try:
        packers = None if (chosen.name, workers) == ("local", 1) else partial(chosen.map, workers=workers)
        return write_records(source, dest, options=options, workers=packers, progress=progress)
    finally:
        chosen.close()
