"""Results on stdout, the rest on stderr, a bar only where a person watches."""

from __future__ import annotations

import io
import json

import pytest
from rich.table import Table

from pileus.cli.console import Console


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def as_terminal(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """Standard error becomes a terminal for the rest of the test."""
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return screen


def test_json_prints_the_document_alone(capsys: pytest.CaptureFixture[str]) -> None:
    Console(json=True).result({"b": "x" * 500, "a": [1]}, "for a person")
    out, error = capsys.readouterr()
    assert json.loads(out) == {"a": [1], "b": "x" * 500}
    assert out.index('"a"') < out.index('"b"')
    assert error == ""


def test_text_is_neither_wrapped_nor_read_as_markup(capsys: pytest.CaptureFixture[str]) -> None:
    text = "pileus[train] [red]" + "x" * 300
    Console().result({}, text)
    assert capsys.readouterr().out == text + "\n"


def test_a_table_is_drawn_without_escapes_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = Table("name")
    table.add_row("[bold]digits[/bold]")
    Console().result({}, table)
    out = capsys.readouterr().out
    assert "digits" in out
    assert "\x1b" not in out


def test_quiet_silences_what_is_said_but_no_complaint(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(quiet=True)
    console.say("on the way")
    console.complain("failed")
    assert capsys.readouterr() == ("", "failed\n")


def test_progress_shows_amount_and_rate_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = as_terminal(monkeypatch)
    with Console().progress("reading", "images") as report:
        for done in range(0, 2001, 100):
            report(done, 2000)
    shown = screen.getvalue()
    assert "reading" in shown
    assert "2,000/2,000 images" in shown
    assert "images/s" in shown


def test_progress_is_silent_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Console().progress("reading", "images") as report:
        report(1, 2)
    assert capsys.readouterr() == ("", "")


def test_progress_is_silent_when_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = as_terminal(monkeypatch)
    with Console(quiet=True).progress("reading", "images") as report:
        report(1, 2)
    assert screen.getvalue() == ""


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_no_color_is_respected(no_color: str, coloured: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = as_terminal(monkeypatch)
    monkeypatch.setenv("NO_COLOR", no_color)
    with Console().progress("reading", "images") as report:
        report(2, 2)
    assert ("\x1b[3" in screen.getvalue()) is coloured
