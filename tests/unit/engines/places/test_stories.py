from __future__ import annotations

import pytest

from pileus.engines.places.stories import telling_line


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (RuntimeError("\n  A stage failed.\n  worker 1 was lost: killed\n was lost"), "worker 1 was lost: killed"),
        (RuntimeError("A stage failed.\nsee the log"), "A stage failed."),
        (RuntimeError(" \n"), "RuntimeError"),
        ("cancelled", "cancelled"),
    ],
)
def test_the_line_that_says_why_is_told(failure: object, told: str) -> None:
    assert telling_line(failure, "lost", "died") == told
