"""The ledger: which samples were trained on, page by page, each page naming the one before it by its hash.

A page is written just before the checkpoint that it belongs to, and counts only through that checkpoint's manifest:
what a gang trained after its last checkpoint and then lost is on no page that counts. So the chain from the last
checkpoint back to the first page tells exactly the samples whose gradients are in the weights.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from pileus.errors import AlreadyExists, Damaged, NotFound
from pileus.spec.values import Spec, canonical_json, digest
from pileus.store import Store

_LENGTH = struct.Struct("<I")
_NO_MARKS = np.empty(0, np.uint32)


class PageHead(Spec, frozen=True, kw_only=True):
    epoch: int
    first_step: int
    """Of the epoch, counted from 0; the page holds the steps [first_step, last_step)."""
    last_step: int
    samples: int
    previous: str | None
    """Key of the page before it, which holds that page's hash."""
    first_global_step: int = 0
    marked: bool = False
    """Whether the page has a mark for each of its steps."""


class Page(NamedTuple):
    head: PageHead
    positions: NDArray[np.uint32]
    """Positions in the record set, in the order of steps and microbatches."""
    marks: NDArray[np.uint32] = _NO_MARKS
    """CRC32C of the weights after each step of the page; none where the strategy does not agree after each."""


class WrittenPage(NamedTuple):
    key: str
    content: bytes


def written(page: Page) -> WrittenPage:
    """What a page is on disk; its key holds its hash."""
    head = canonical_json(page.head)
    arrays = (page.positions, page.marks)
    content = _LENGTH.pack(len(head)) + head + b"".join(array.astype("<u4").tobytes() for array in arrays)
    return WrittenPage(f"ledger/{page.head.epoch:05d}-{page.head.last_step:08d}-{digest(content)}.page", content)


def put_page(store: Store, page: WrittenPage) -> None:
    """The same page put twice is one page."""
    try:
        store.put(page.key, page.content, if_absent=True)
    except AlreadyExists:
        assert store.get(page.key).content == page.content


def write_page(store: Store, page: Page) -> str:
    """Returns the page's key."""
    put_page(store, made := written(page))
    return made.key


def read_page(store: Store, key: str) -> Page:
    """Damaged where the page is not what its key says, or is missing."""
    try:
        content = store.get(key).content
        if digest(content) != key.rsplit("-", 1)[-1].removesuffix(".page"):
            raise Damaged(f"ledger page {key} of {store.uri} was changed; the run cannot be proved.")
    except NotFound as error:
        raise Damaged(f"ledger page {key} of {store.uri} is missing; the run cannot be proved.") from error
    (length,) = _LENGTH.unpack_from(content)
    head = msgspec.json.decode(content[_LENGTH.size : _LENGTH.size + length], type=PageHead)
    numbers = np.frombuffer(content, "<u4", offset=_LENGTH.size + length)
    return Page(head, numbers[: head.samples], numbers[head.samples :])


def pages_back_from(store: Store, key: str | None) -> Iterator[Page]:
    """The chain, newest page first."""
    while key is not None:
        page = read_page(store, key)
        yield page
        key = page.head.previous


def prove(pages: Iterable[Page], samples: NDArray[np.int64], whole_epochs: int) -> list[str]:
    """What is wrong with a run's ledger, a line each; empty when all is right.

    Each of the first `whole_epochs` epochs must hold every sample of `samples` (positions in the record set) exactly
    once; a later epoch, which is under way, none twice and no other.
    """
    expected = np.sort(samples)
    seen: dict[int, list[NDArray[np.uint32]]] = {epoch: [] for epoch in range(whole_epochs)}
    for page in pages:
        seen.setdefault(page.head.epoch, []).append(page.positions)
    faults = []
    for epoch, parts in sorted(seen.items()):
        taken = np.concatenate([*parts, np.empty(0, np.uint32)])
        twice = len(taken) - len(np.unique(taken))
        strange = len(np.setdiff1d(taken, expected))
        missing = len(np.setdiff1d(expected, taken)) if epoch < whole_epochs else 0
        if twice or strange or missing:
            faults.append(f"epoch {epoch}: {missing} samples missing, {twice} taken twice, {strange} of another part")
    return faults
