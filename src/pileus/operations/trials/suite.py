"""The suite: the trials of the table, one after the other, with one engine."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence

from pileus.engines.connect import connect
from pileus.errors import UsageError
from pileus.operations.trials.leftovers import apart_from_others
from pileus.operations.trials.outcome import Outcome
from pileus.operations.trials.scenarios import SCENARIOS, Scenario
from pileus.operations.trials.trial import fault_free, hold
from pileus.spec.resolve import did_you_mean, split_engine


def chosen(names: Sequence[str]) -> tuple[Scenario, ...]:
    """The scenarios of these names, in the order of the table; all where none is named. UsageError for an unknown."""
    known = {scenario.name: scenario for scenario in SCENARIOS}
    for name in names:
        if name not in known:
            raise UsageError(f"no trial is called {name!r}; {did_you_mean(name, tuple(known))}")
    return tuple(scenario for scenario in SCENARIOS if not names or scenario.name in names)


def run_trials(
    engine_name: str, scenarios: Sequence[Scenario], progress: Callable[[int, int], None]
) -> Generator[Outcome, None, None]:
    """Each as it is over. Everything lies in a temporary folder, which is gone at the end."""
    name, address = split_engine(engine_name)
    with apart_from_others() as folder, contextlib.closing(connect(name, address=address)) as engine:
        progress(0, len(scenarios))
        bench = fault_free(engine, str(folder / "runs"))
        for number, scenario in enumerate(scenarios):
            yield hold(scenario, bench)
            progress(number + 1, len(scenarios))
