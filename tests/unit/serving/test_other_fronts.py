from __future__ import annotations

import asyncio

from pileus.serving.feedback import KEPT, UNKNOWN, Correct, Outcome
from pileus.serving.other_fronts import Asked, OtherFronts, replied

CORRECT = Correct("a", 0, "7")


def outcome_of(replies: list[Outcome], num_asked: int) -> Outcome | None:
    """Of a front that is told these; None where they leave it waiting."""

    async def ask() -> Outcome | None:
        told: list[Asked] = []
        others = OtherFronts(3, told.append)
        asking = asyncio.ensure_future(others.correct(CORRECT))
        await asyncio.sleep(0)
        (asked,) = told
        assert (asked.slot, asked.correct) == (3, CORRECT)
        for reply in replies:
            others.hear(replied(asked._replace(num_asked=num_asked), reply))
        await asyncio.sleep(0)
        return asking.result() if asking.done() else None

    return asyncio.run(ask())


def test_the_one_that_knows_decides() -> None:
    assert outcome_of([UNKNOWN, KEPT, UNKNOWN], 3) == KEPT
    assert outcome_of([Outcome(422, "no class"), UNKNOWN], 2) == Outcome(422, "no class")


def test_nobody_knows_when_all_have_said_so() -> None:
    assert outcome_of([UNKNOWN, UNKNOWN], 2) == UNKNOWN
    assert outcome_of([UNKNOWN, UNKNOWN], 3) is None


def test_a_reply_that_nobody_waits_for_is_dropped() -> None:
    async def hear() -> None:
        OtherFronts(3, lambda asked: None).hear(replied(Asked(3, 99, CORRECT), KEPT))

    asyncio.run(hear())
