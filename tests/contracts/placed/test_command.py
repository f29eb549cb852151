"""The command, with no other set-up than the extra, and stopped from a terminal."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from pileus.operations.trials.leftovers import apart_from_others, left_behind, present
from tests.contracts.placed.conftest import PLACED
from tests.e2e.digits import digits, fingerprint
from tests.e2e.running import PILEUS, Begun, alone, assert_told, trial_words

__all__ = ["digits", "fingerprint"]

pytestmark = pytest.mark.service


@pytest.mark.parametrize("name", PLACED)
def test_ctrl_c_saves_and_leaves_nothing(name: str, digits: Path, tmp_path: Path) -> None:
    words = trial_words(digits, "--runs", tmp_path, "--name", "trial", "--engine", name, "--workers", "2")
    with apart_from_others():
        before = present()
        with Begun(*PILEUS, *words, "--set", "epochs=400") as command:
            command.heard("epoch   3/400")
            command.signal(signal.SIGINT, group=True)
            ended = command.ended()
        assert_told(ended, 130, "interrupted", "pileus runs resume")
        assert ended.out == ""
        assert left_behind(before) == []


def test_one_document_and_nothing_else_is_printed(digits: Path, fingerprint: str, tmp_path: Path) -> None:
    """Ray is the one that writes to stdout by itself."""
    ended = alone(*trial_words(digits, "--runs", tmp_path, "--engine", "ray", "--workers", "2", "--json"))
    assert ended.code == 0, ended.err
    result = json.loads(ended.out)
    assert (result["engine"], result["workers"], result["fingerprint"]) == ("ray", 2, fingerprint)
    assert "Traceback" not in ended.err
