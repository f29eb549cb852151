"""Write docs/internals/life-of-a-run.md: the picture of the states, walked from the table that runs.

    python -m scripts.draw_life

Every event is tried in every state that can be reached by a gang of two with one restart.
"""

from __future__ import annotations

from pathlib import Path

from pileus.runs.life import events as e
from pileus.runs.life import states as s
from pileus.runs.life.transitions import TRANSITIONS, Limits
from pileus.spec import job as w

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "internals" / "life-of-a-run.md"

_LIMITS = Limits(workers=2, max_restarts=1)
_EVENTS: tuple[e.Event, ...] = (
    e.Begin(attempt=1),
    *(w.Joined(rank=rank, address="") for rank in range(2)),
    e.Lost(rank=1, cause=""),
    w.Failed(rank=1, step=0, cause="peer_lost", message=""),
    w.Failed(rank=1, step=0, cause="diverged", message=""),
    w.Checkpointed(key="", epoch=1, step=1),
    *(w.Finished(rank=rank, step=1, fingerprint=text) for rank, text in ((0, "a"), (1, "a"), (1, "b"))),
    *(w.Stopped(rank=rank, step=1) for rank in range(2)),
    e.DeadlinePassed(),
    e.StopAsked(reason=""),
    e.GangGone(),
    e.Packed(),
    e.PackFailed(reason=""),
)

_HEAD = """# The life of a run

A run's life is decided by a state machine without I/O: `runs/life/transitions.py` is its table, and this picture is
walked from that table (`make docs`). The controller (`operations/controller.py`) hands it what happens and performs
what it says. A state is a type that holds only what is valid in it; an event that has no rule in a state is a fault of
ours and is told with the story that led there.

- **Starting** has a deadline (`engine.start_deadline_s`): a gang is whole by then or is given up, and who is missing is
  said.
- **Suspecting** waits two seconds for the cause behind a worker's complaint of a lost peer: a death or a failure that
  is about to be told.
- **Ending** kills the gang and knows what comes then: a new gang from the newest checkpoint that verifies (at most
  `engine.max_restarts` times between two checkpoints), packing, failure or interruption.
- What would come again is not tried again: a loss that is not finite, bad input, a full disk, a fault of ours.

"""


def life_of_a_run() -> str:
    """The page's text; equal for equal code."""
    arrows = sorted(_walk())
    lines = ["stateDiagram-v2", "    [*] --> New"]
    by_pair: dict[tuple[str, str], list[str]] = {}
    for before, event, after in arrows:
        by_pair.setdefault((before, after), []).append(event)
    lines += [f"    {before} --> {after}: {', '.join(events)}" for (before, after), events in by_pair.items()]
    lines += [f"    {state.__name__} --> [*]" for state in s.TERMINAL]
    rows = [f"| {before} | {event} | {after} |" for before, event, after in arrows]
    table = "\n".join(["| state | event | next |", "|---|---|---|", *rows])
    return _HEAD + "```mermaid\n" + "\n".join(lines) + "\n```\n\n" + table + "\n"


def _walk() -> set[tuple[str, str, str]]:
    arrows: set[tuple[str, str, str]] = set()
    seen: set[str] = set()
    waiting: list[s.State] = [s.New()]
    while waiting:
        state = waiting.pop()
        for event in _EVENTS:
            rule = TRANSITIONS.get((type(state), type(event)))
            if rule is None:
                continue
            after = rule(state, event, _LIMITS).state
            if type(after) is not type(state):
                arrows.add((type(state).__name__, type(event).__name__, type(after).__name__))
            if repr(after) not in seen and getattr(after, "attempt", 0) <= _LIMITS.max_restarts + 2:
                seen.add(repr(after))
                waiting.append(after)
    return arrows


if __name__ == "__main__":
    PAGE.write_text(life_of_a_run(), encoding="utf-8")
