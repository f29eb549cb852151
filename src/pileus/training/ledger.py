"""The ledger: which samples were trained on, page by page, each page naming the one before it by its hash.

A page is written just before the checkpoint that it belongs to, and counts only through that checkpoint's manifest:
what a gang trained after its last checkpoint and then lost is on no page that counts. So the chain from the last
checkpoint back to the first page tells exactly the samples whose gradients are in the weights.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from pileus.errors import AlreadyExists, Damaged, NotFound
from pileus.spec.values import Spec, canonical_json, digest
from pileus.store import Store

_LENGTH = struct.Struct("<I")


class PageHead(Spec, frozen=True, kw_only=True):
    epoch: int
    first_step: int
    """Of the epoch, counted from 0; the page holds the steps [first_step, last_step)."""
    last_step: int
    samples: int
    previous: str | None
    """Key of the page before it, which holds that page's hash."""


class Page(NamedTuple):
    head: PageHead
    positions: NDArray[np.uint32]
    """Positions in the record set, in the order of steps and microbatches."""


def write_page(store: Store, page: Page) -> str:
    """Returns the page's key; the same page written twice is one page."""
    head = canonical_json(page.head)
    content = _LENGTH.pack(len(head)) + head + page.positions.astype("<u4").tobytes()
    key = f"ledger/{page.head.epoch:05d}-{page.head.last_step:08d}-{digest(content)}.page"
    try:
        store.put(key, content, if_absent=True)
    except AlreadyExists:
        assert store.get(key).content == content
    return key


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
    return Page(head, np.frombuffer(content, "<u4", offset=_LENGTH.size + length))


def pages_back_from(store: Store, key: str | None) -> Iterator[Page]:
    """The chain, newest page first."""
    while key is not None:
        page = read_page(store, key)
        yield page
        key = page.head.previous


def prove(store: Store, last_key: str | None, samples: NDArray[np.int64], num_epochs: int) -> list[str]:
    """What is wrong with the ledger of a finished run, a line each; empty when every sample of `samples` (positions in
    the record set) was trained on exactly once in each of the epochs.
    """
    expected = np.sort(samples)
    seen: dict[int, list[NDArray[np.uint32]]] = {epoch: [] for epoch in range(num_epochs)}
    for page in pages_back_from(store, last_key):
        seen.setdefault(page.head.epoch, []).append(page.positions)
    faults = []
    for epoch, parts in sorted(seen.items()):
        taken = np.sort(np.concatenate(parts)) if parts else np.empty(0, np.uint32)
        if not np.array_equal(taken, expected):
            twice = len(taken) - len(np.unique(taken))
            missing = len(np.setdiff1d(expected, taken))
            faults.append(f"epoch {epoch}: {missing} samples missing, {twice} taken more than once")
    return faults
