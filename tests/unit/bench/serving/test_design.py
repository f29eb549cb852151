"""The saturations first, then every level once in every round; what cannot be is refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from pileus.bench.serving.design import Crowd, Request, Saturation, Stream, all_trials, load_of
from pileus.bench.serving.load import SATURATING, Arrivals, Users
from pileus.errors import SpecError
from tests.unit.bench.serving.small import REQUEST


def changed(**changes: object) -> Request:
    return msgspec.convert(msgspec.to_builtins(REQUEST) | changes, Request)


def test_saturations_come_first_and_every_cell_once_in_each_round() -> None:
    request = changed(bodies=["raw", "strokes"])
    trials = all_trials(request)
    assert [trial.number for trial in trials] == list(range(26)) and request.num_trials == 26
    assert [(trial.cell.body, trial.cell.level) for trial in trials[:2]] == [
        ("raw", Saturation()),
        ("strokes", Saturation()),
    ]
    orders = [[trial.cell for trial in trials[2:] if trial.round == turn] for turn in range(2)]
    assert len(set(orders[0])) == 12 and set(orders[0]) == set(orders[1]) and orders[0] != orders[1]
    assert [trial.cell.level for trial in all_trials(changed(users=[], shares=[]))] == [Saturation()]


def test_a_level_is_a_load_once_the_saturation_is_known() -> None:
    assert load_of(Saturation(), 0.0) == SATURATING
    assert load_of(Crowd(users=10, think_s=1.0), 500.0) == Users(users=10, think_s=1.0)
    assert load_of(Stream(share=1.5), 500.0) == Arrivals(per_s=750.0)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"bodies": []}, "got none"),
        ({"users": [10, 10]}, "users must be told each once"),
        ({"shares": [0.5, 0.5]}, "shares must be told each once"),
        ({"shares": [-1.0]}, "shares"),
        ({"rounds": 1000}, "at most 2,000 trials"),
        ({"bodies": ["jpeg"]}, "jpeg"),
        ({"seconds": 0}, "seconds"),
    ],
)
def test_impossible_requests_are_told(changes: dict[str, object], told: str) -> None:
    with pytest.raises((SpecError, msgspec.ValidationError), match=told):
        changed(**changes)


def test_a_record_tells_no_paths_and_how_to_run_it_again(tmp_path: Path) -> None:
    request = changed(bundle=str(tmp_path / "digits"), data=str(tmp_path / "photos"), users=[], processes=2)
    assert str(tmp_path) not in msgspec.json.encode(request.told()).decode()
    told = request.told().command("OUT")
    assert told.startswith(
        "pileus bench serving BUNDLE/digits --out OUT --data DATA/photos --bodies raw --users --think"
    )
    assert "--shares 0.5 3 --processes 2 --seconds 5 --rounds 2" in told
    assert changed().command("OUT").startswith("pileus bench serving --out OUT --bodies raw --users 10 50")
