"""Every end of a command becomes an exit code and at most two lines."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pileus.cli import main as cli
from pileus.cli.commands import doctor
from pileus.cli.console import Console
from pileus.errors import Damaged, Interrupted, SourceError

Call = Callable[[argparse.Namespace, Console], int]


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> Callable[[Call], None]:
    """Puts a command `doctor` in place that calls the given function."""

    def install(call: Call) -> None:
        def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
            commands.add_parser("doctor").set_defaults(call=call)

        monkeypatch.setattr(doctor, "register", register)

    return install


def raising(error: BaseException) -> Call:
    def call(args: argparse.Namespace, console: Console) -> int:
        raise error

    return call


def test_help_lists_the_commands_in_their_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    shown = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    present = list(cli.present_commands())
    assert shown[: len(present)] == present


def test_no_command_is_wrong_usage_and_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert "usage: pileus COMMAND" in error


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("pileus 0.")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["docter"], "no command 'docter'; did you mean doctor"),
        (["qqqq"], "no command 'qqqq'. See `pileus --help`."),
        (["doctor", "--jsno"], "no argument '--jsno'; did you mean --json"),
        (["doctor", "--js"], "no argument '--js'"),
        (["doctor", "extra"], "no argument 'extra'"),
    ],
)
def test_wrong_usage_offers_the_nearest_names(
    words: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert expected in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SourceError("rule"), 2),
        (Damaged("rule"), 1),
        (Interrupted("saved"), 130),
        (OSError(28, "No space"), 1),
    ],
)
def test_a_refusal_is_its_message_and_its_exit_code(
    error: Exception,
    code: int,
    probe: Callable[[Call], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    probe(raising(error))
    assert cli.main(["doctor"]) == code
    out, told = capsys.readouterr()
    assert (out, told) == ("", f"pileus: {error}\n")


def test_with_json_a_refusal_is_one_document(probe: Callable[[Call], None], capsys: pytest.CaptureFixture[str]) -> None:
    probe(raising(SourceError("the rule [not markup]")))
    assert cli.main(["doctor", "--json", "--quiet"]) == 2
    out, told = capsys.readouterr()
    assert json.loads(out) == {"error": {"kind": "SourceError", "message": "the rule [not markup]"}}
    assert told == "pileus: the rule [not markup]\n"


def test_ctrl_c_is_one_line(probe: Callable[[Call], None], capsys: pytest.CaptureFixture[str]) -> None:
    probe(raising(KeyboardInterrupt()))
    assert cli.main(["doctor"]) == 130
    assert capsys.readouterr().err == "interrupted.\n"


def test_our_own_fault_keeps_its_traceback_in_a_file(
    probe: Callable[[Call], None],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PILEUS_DEBUG", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    probe(raising(KeyError("lost")))
    assert cli.main(["doctor"]) == 1
    told = capsys.readouterr().err
    assert "this is a fault of Pileus" in told
    assert "Traceback" not in told
    (kept,) = tmp_path.iterdir()
    assert str(kept) in told
    assert "Traceback" in kept.read_text(encoding="utf-8")


def test_our_own_fault_is_shown_for_debugging(
    probe: Callable[[Call], None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PILEUS_DEBUG", "1")
    probe(raising(KeyError("lost")))
    assert cli.main(["doctor"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("module", "extra"), [("torch", "train"), ("sklearn.datasets", "train"), ("httptools", "serve")]
)
def test_a_library_of_an_extra_that_is_missing_is_named_with_its_extra(
    module: str, extra: str, probe: Callable[[Call], None], capsys: pytest.CaptureFixture[str]
) -> None:
    probe(raising(ModuleNotFoundError("no", name=module)))
    assert cli.main(["doctor"]) == 3
    assert f"pip install 'pileus[{extra}]'" in capsys.readouterr().err


def test_a_module_of_our_own_that_is_missing_is_our_fault(
    probe: Callable[[Call], None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PILEUS_DEBUG", "1")
    probe(raising(ModuleNotFoundError("no", name="pileus.nowhere")))
    assert cli.main(["doctor"]) == 1
    assert "fault of Pileus" in capsys.readouterr().err


def test_a_closed_standard_output_is_quiet() -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "pileus", "doctor", "--json"],
            stdout=write,
            stderr=subprocess.PIPE,
            timeout=60,
        )
    finally:
        os.close(write)
    assert ended.stderr == b""
    assert ended.returncode == 1


def test_help_is_quick_and_imports_no_heavy_library() -> None:
    check = (
        "import sys; from pileus.cli.main import main; main(['--help']);"
        "sys.exit(str(sorted({'numpy', 'torch', 'PIL', 'onnxruntime'} & set(sys.modules)) or ''))"
    )
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        ended = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=60)
        seconds.append(time.perf_counter() - start)
        assert ended.stderr.strip() == ""
    assert min(seconds) < 0.6  # 0.1 s on an idle machine; a heavy import costs more than this bound
