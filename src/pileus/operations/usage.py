"""The page of what a run or a write used of its cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from pileus.engines.connect import connect
from pileus.engines.meter import MeasuredEngine, Watch, open_meter
from pileus.engines.ports import Engine
from pileus.errors import MissingExtra, StoreError, UsageError
from pileus.measure.report import render_usage
from pileus.runs.directory import RunDirectory
from pileus.runs.usage import Book, read_usage
from pileus.spec.resolve import split_engine
from pileus.spec.usage import Use
from pileus.spec.values import canonical_json

PAGE_KEY = "usage.html"


def usage_page(directory: RunDirectory) -> str:
    """Of a run, also of one under way. UsageError where no worker of it was watched."""
    plan, use = directory.plan(), read_usage(directory.store)
    page = render_usage(plan.name, use, {"records": plan.records_uri, "recipe": plan.recipe})
    if page is None:
        raise UsageError(
            f"nobody looked at what run {plan.name} used: it has no gang that trained for a second, or its workers "
            "have no psutil; train it with pileus[train] on an engine with processes, such as local."
        )
    return page


@contextlib.contextmanager
def watched_write(engine: str, page: Path, name: str) -> Iterator[Engine]:
    """An engine for one write, whose workers are watched, and this process with them; what was seen is put when the
    block has ended, as a page, and beside it as JSON. UsageError where it cannot be put, before anything else."""
    if page.suffix != ".html" or not page.parent.is_dir():
        raise UsageError(
            f"--report names a file to be, .html, in a folder that is there (got {page}); make the folder."
        )
    if open_meter() is None:
        raise MissingExtra("a report of what a write uses", "psutil", "train")
    book = Book()
    plain_name, address = split_engine(engine)
    chosen = connect(plain_name, address=address)
    try:
        with Watch() as here:
            yield MeasuredEngine(chosen, book.note)
    finally:
        chosen.close()
    driver = here.watched()
    if driver is not None:
        book.note(msgspec.structs.replace(driver, worker=f"driver ({driver.worker})"))
    _put(page, name, book.use())


def _put(page: Path, name: str, use: Use) -> None:
    drawn = render_usage(name, use, {})
    assert drawn is not None, "the driver looked at both ends"
    try:
        page.write_text(drawn, encoding="utf-8")
        page.with_suffix(".json").write_bytes(canonical_json(use))
    except OSError as error:
        raise StoreError(f"{page} cannot be written ({error.strerror or error}); the records are whole.") from error
