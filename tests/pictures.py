"""Runs whose pictures are not looked at: a conftest that imports this fixture gives it to its folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pileus.measure import figures


@pytest.fixture(scope="module", autouse=True)
def one_picture_for_all() -> Iterator[None]:
    """Of a report the first figure is drawn and stands for the others, which would take longer than the training."""
    draw_one = figures._saved
    drawn: dict[str, bytes] = {}

    def same(draw: Callable[[Any], None], size: tuple[float, float], **how: Any) -> bytes:
        if how["format"] not in drawn:
            drawn[how["format"]] = draw_one(draw, size, **how)
        return drawn[how["format"]]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "_saved", same)
        yield
