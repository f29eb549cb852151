"""A person who knows what stands on a cheque, and tells a server what each item of its answers should have been."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from drawn.strings import Cheque
from pileus.bundles import Bundle
from pileus.preprocessing.lattice import Box
from pileus.serving.server import ServeOptions, running

_TRIES = 4
_SAME = 0.6
"""Overlap by union from which on an item is a labelled digit's ink, if it is no other's."""
_OF_ANOTHER = 0.5
"""Of another digit's box, that the item covers then at the most: boxes of leaning neighbours overlap."""
_WHOLE = 0.8
"""Of a digit's box: an item that covers so much of two is two digits."""
_MARK = 0.2
"""Of an item's box: one that lies so little on all digits is a mark beside them."""

_RIGHT = ("right", "rightly rejected")


def correct_all(bundle: Bundle, cheques: Iterable[Cheque], place: Path, *, confirm: bool) -> Counter[str]:
    """Ask a server of the bundle for each cheque, and correct what it says; how many of each kind there were.

    `confirm`: tell the label of items that were answered rightly, too.
    """
    told: Counter[str] = Counter()
    none, several = bundle.manifest.none, bundle.manifest.several or bundle.manifest.none
    with (
        running(bundle, ServeOptions(port=0, feedback=str(place))) as url,
        httpx.Client(base_url=url, timeout=600) as client,
    ):
        for cheque in cheques:
            content, media_type = cheque.asked.body
            response = _post(client, "/v1/predict", content=content, headers={"content-type": media_type})
            if response.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
                told["amounts in which nothing is seen"] += 1
                continue
            answer = response.raise_for_status().json()
            boxes = [item["box"] for item in answer["items"]]
            for number, label in enumerate(labels_of(boxes, cheque, none=none, several=several)):
                kind = _kind(answer["items"][number], label, is_none=label in (none, several))
                told[kind] += 1
                if label is None or (kind in _RIGHT and not confirm):
                    continue
                body: dict[str, Any] = {"request_id": answer["request_id"], "item": number, "label": label}
                _post(client, "/v1/feedback", json=body).raise_for_status()
    return told


def _post(client: httpx.Client, path: str, **how: Any) -> httpx.Response:
    """Tries again where the server says that it cannot just now."""
    for _ in range(_TRIES - 1):
        response = client.post(path, **how)
        if not response.is_server_error:
            return response
    return client.post(path, **how)


def labels_of(items: list[Box], cheque: Cheque, *, none: str | None, several: str | None) -> list[str | None]:
    """The digit that each item surely is, or `none` or `several` for what surely is; None where it cannot be told."""
    items_N4, digits_M4 = np.array(items, float), np.array([box for _, box in cheque.digits], float)
    areas_N1, areas_M = items_N4[:, 2:].prod(axis=1, keepdims=True), digits_M4[:, 2:].prod(axis=1)
    shared_NM = _shared(items_N4, digits_M4)
    same_NM = shared_NM / (areas_N1 + areas_M - shared_NM) >= _SAME
    holds_NM = shared_NM / areas_M > _OF_ANOTHER
    is_only_NM = same_NM & (holds_NM.sum(axis=1, keepdims=True) == 1) & (holds_NM.sum(axis=0) == 1)
    is_several_N = (shared_NM / areas_M >= _WHOLE).sum(axis=1) > 1
    is_mark_N = (shared_NM / areas_N1).sum(axis=1) < _MARK
    labels: list[str | None] = []
    for is_only_M, is_several, is_mark in zip(is_only_NM, is_several_N.tolist(), is_mark_N.tolist(), strict=True):
        beside = several if is_several else none if is_mark else None
        labels.append(cheque.digits[int(is_only_M.argmax())][0] if is_only_M.any() else beside)
    return labels


def _kind(item: dict[str, Any], label: str | None, *, is_none: bool) -> str:
    if label is None:
        return "not sure what it is"
    if is_none:
        return "rightly rejected" if item["label"] is None else "no digit, wrongly taken for one"
    if item["label"] == label:
        return "right"
    return "wrongly rejected" if item["label"] is None else "wrong"


def _shared(items_N4: NDArray[np.float64], digits_M4: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, M) areas that boxes (x, y, width, height) of both have in common."""
    start = np.maximum(items_N4[:, None, :2], digits_M4[None, :, :2])
    stop = np.minimum((items_N4[:, :2] + items_N4[:, 2:])[:, None], (digits_M4[:, :2] + digits_M4[:, 2:])[None])
    shared_NM: NDArray[np.float64] = np.maximum(stop - start, 0).prod(axis=2)
    return shared_NM
