from __future__ import annotations

import json
from pathlib import Path

import pytest

from pileus.cli.main import main
from pileus.operations.runs import find_run
from pileus.operations.train import train
from pileus.runs.usage import RunUsage
from tests.e2e.digits import digits
from tests.e2e.running import trial_spec
from tests.unit.runs.test_usage import watched

__all__ = ["digits"]


def test_what_a_run_used_is_drawn(digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(trial_spec(digits, "engine.name=fake", "epochs=1"), runs=str(tmp_path), name="seen")
    words = ["runs", "plot", "seen", "--runs", str(tmp_path)]
    assert main(words) == 2
    assert "nobody looked at what run seen used" in capsys.readouterr().err
    usage = RunUsage(find_run("seen", str(tmp_path)).store)
    usage.note(watched("rank 0", 1.0, 2.0))
    usage.save()
    assert main([*words, "--json"]) == 0
    page = Path(json.loads(capsys.readouterr().out)["page"])
    assert page == tmp_path / "seen" / "usage.html"
    assert ">rank 0<" in page.read_text()
    assert main([*words, "--out", str(tmp_path / "other.html")]) == 0
    assert (tmp_path / "other.html").read_bytes() == page.read_bytes()
    assert main([*words, "--out", str(tmp_path / "no" / "other.html")]) == 2
