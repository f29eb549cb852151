"""Write docs/internals/life-of-a-run.md: the picture of the states, walked from the table that runs.

    python -m scripts.draw_life

Every event is tried in every state that can be reached by a gang of two with one restart, which may shrink or not.
"""

from __future__ import annotations

from pathlib import Path

from pileus.runs.life import events as e
from pileus.runs.life import states as s
from pileus.runs.life.policies import Limits
from pileus.runs.life.transitions import TRANSITIONS
from pileus.spec import job as w

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "internals" / "life-of-a-run.md"

_ATTEMPTS = 3
_LIMITS = (Limits(workers=2, max_restarts=1), Limits(workers=2, max_restarts=1, min_workers=1))
_EVENTS: tuple[e.Event, ...] = (
    e.Begin(attempt=1),
    e.NotLaunched(reason=""),
    *(w.Joined(rank=rank, address="") for rank in range(2)),
    w.Beat(rank=1, epoch=0, step=0, doing="reading"),
    w.Leaving(rank=1, reason=""),
    e.Lost(rank=1, cause=""),
    w.Failed(rank=1, step=0, cause="peer_lost", message=""),
    w.Failed(rank=1, step=0, cause="storage", message=""),
    w.Failed(rank=1, step=0, cause="diverged", message=""),
    w.Checkpointed(key="", epoch=1, step=1),
    *(w.Finished(rank=rank, step=1, fingerprint=text) for rank, text in ((0, "a"), (1, "a"), (1, "b"))),
    *(w.Stopped(rank=rank, step=1) for rank in range(2)),
    e.DeadlinePassed(),
    e.StopAsked(reason=""),
    e.ResizeAsked(workers=1),
    e.GangGone(),
    e.Packed(),
    e.PackFailed(reason="", cause="storage"),
)

_HEAD = """# The life of a run

A run's life is decided by a state machine without I/O: `runs/life/transitions.py` is its table, and this picture is
walked from that table (`make docs`). The controller (`operations/controller.py`) hands it what happens and performs
what it says. A state is a type that holds only what is valid in it; an event that has no rule in a state is a fault of
ours and is told with the story that led there.

- **Starting** has a deadline (`engine.start_deadline_s`): a gang is whole by then, or who is missing is said, and with
  what each of them is busy. Then it is given up, or goes on with those that are there (`engine.min_workers`).
- **Training** tells dead from slow by heartbeats, which a thread of each worker sends each second, however long a step
  takes: only silence (`engine.silence_deadline_s`) counts as a loss. It is measured by the controller's own clock, and
  that clock stands still while the controller itself is held up (`runs/life/heartbeats.py`).
- **Suspecting** waits two seconds for the cause behind a worker's complaint of a lost peer: a death or a failure that
  is about to be told. So what is reported is where it began, not what followed.
- **Stopping** asks the workers to save and leave, with a deadline, and knows what comes then. SIGTERM to the controller
  is a notice that the machine goes away (`engine.notice_s`): the run ends, to be resumed. SIGTERM to one worker, and
  `pileus runs resize RUN --workers N`, end in a new gang, which goes on from that step.
- **Ending** kills the gang, and holds the state that comes then.
- **Waiting** keeps a growing distance between tries where a store fails.
- **Failed** tells the cause, the rank where it began, and who can mend it: the user, who keeps the platform, or we.

What is tried again, how often and how soon is data (`runs/life/policies.py`): a lost worker at once and a failing store
after a wait, at most `engine.max_restarts` times between two checkpoints. What would come again is not tried again: a
loss that is not finite, bad input, a fault of ours. Where `engine.min_workers` allows it, a gang that lost the same
rank twice, or has no restart left, goes on with one worker less. The number of workers never changes the weights.

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
    for limits in _LIMITS:
        seen: set[str] = set()
        waiting: list[s.State] = [s.New()]
        while waiting:
            state = waiting.pop()
            for event in _EVENTS:
                rule = TRANSITIONS.get((type(state), type(event)))
                if rule is None or not _can_come(event, state):
                    continue
                after = rule(state, event, limits).state
                if type(after) is not type(state):
                    arrows.add((type(state).__name__, type(event).__name__, type(after).__name__))
                if repr(after) not in seen and _attempt(after) <= _ATTEMPTS:
                    seen.add(repr(after))
                    waiting.append(after)
    return arrows


def _can_come(event: e.Event, state: s.State) -> bool:
    """From a worker that the gang has."""
    gang = getattr(state, "gang", None)
    return gang is None or getattr(event, "rank", 0) < gang.workers


def _attempt(state: s.State) -> int:
    gang = getattr(state, "gang", None)
    return gang.attempt if gang else getattr(state, "attempt", 0)


if __name__ == "__main__":
    PAGE.write_text(life_of_a_run(), encoding="utf-8")
