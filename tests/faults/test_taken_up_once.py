"""Several processes take one run up at the same moment: exactly one drives it, the others say so and change nothing."""

from __future__ import annotations

import multiprocessing
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from pileus.errors import RunTaken
from pileus.runs.directory import RunDirectory
from pileus.runs.driver import Driver, this_process
from pileus.spec.values import canonical_json
from pileus.store import open_store
from tests.e2e.running import PILEUS, Begun, assert_told, here, trial_words

_ROUNDS = 50
_RACERS = 3
_DEADLINE_S = 60.0


def race(line: Barrier, places: list[str], told: str) -> None:
    """One process: in each round a run of its own, taken up with the others at once; then who won is noted."""
    for place in places:
        directory = RunDirectory(open_store(place))
        line.wait(_DEADLINE_S)
        try:
            directory.drive()
            won = True
        except RunTaken:
            won = False
        line.wait(_DEADLINE_S)
        with Path(told).open("a") as notes:
            notes.write(f"{place} {int(won)}\n")
        if won:
            directory.append("starting")
        line.wait(_DEADLINE_S)
        directory.release()


@pytest.mark.parametrize("after_a_death", [False, True])
def test_of_processes_that_race_exactly_one_wins(after_a_death: bool, tmp_path: Path) -> None:
    places = [str(tmp_path / f"run-{number}") for number in range(_ROUNDS)]
    for place in places:
        store = open_store(place)
        store.put("spec.json", b"{}")
        if after_a_death:
            dead = Driver(pid=1, started="0", boot=this_process().boot)
            store.put("driver.json", canonical_json(dead))
    context = multiprocessing.get_context("spawn")
    line = context.Barrier(_RACERS)
    told = [tmp_path / f"told-{number}" for number in range(_RACERS)]
    racers = [context.Process(target=race, args=(line, places, str(each))) for each in told]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(_DEADLINE_S)
        assert racer.exitcode == 0
        racer.close()
    wins = dict.fromkeys(places, 0)
    for each in told:
        for words in each.read_text().splitlines():
            place, won = words.rsplit(" ", 1)
            wins[place] += int(won)
    assert wins == dict.fromkeys(places, 1)
    for place in places:
        directory = RunDirectory(open_store(place))
        assert ([event.kind for event in directory.events()], directory.driver()) == (["starting"], None)


def test_the_second_to_resume_says_who_drives_and_the_first_goes_on(
    digits: Path, fingerprint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Begun(*PILEUS, *trial_words(digits, "--runs", tmp_path, "--name", "trial")) as begun:
        begun.heard("epoch  2")
    with Begun(*PILEUS, "runs", "resume", tmp_path / "trial", "--json") as first:
        first.heard("going on from")
        second = here(capsys, "runs", "resume", tmp_path / "trial", "--engine", "fake")
        ended = first.ended()
    assert_told(second, 2, f"driven by process {first.pid}", "is alive")
    assert ended.code == 0, ended.err
    assert fingerprint in ended.out
