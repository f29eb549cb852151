"""Bad input is refused in a line or two, with the right exit code, and leaves nothing that trips the next command."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pileus.errors import PileusError
from pileus.operations.runs import find_run, verify_run
from pileus.operations.train import resume, train
from tests.e2e.running import (
    assert_told,
    here,
    trial_spec,
    trial_words,
    write_pictures,
)

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of pictures, each of them wrong in one way but for `good`."""
    root = tmp_path_factory.mktemp("pictures")
    write_pictures(root / "one-class" / "cat")
    (root / "empty").mkdir()
    for name in ("cat", "dog"):
        write_pictures(root / "good" / name)
        write_pictures(root / "not-a-picture" / name)
        write_pictures(root / "varying" / name, side=8 if name == "cat" else 9)
        write_pictures(root / "tiny" / name, side=3)
        write_pictures(root / "colour" / name, mode="RGB")
        write_pictures(root / "few" / name, num=1)
    (root / "not-a-picture" / "dog" / "notes.png").write_text("hello")
    (root / "plain.txt").write_text("hello")
    return root


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("digit_cnn", ("no recipe is called 'digit_cnn'", "did you mean 'digits_cnn'")),
        ("nonsense", ("no recipe is called 'nonsense'", "known: age_band, cifar10_cnn")),
        ("mnist_cnn", ("needs data", "--data FOLDER")),
        ("missing.toml", ("missing.toml", "No such file")),
        ("digits_cnn --set epoch=2", ("no setting is called 'epoch'", "did you mean 'epochs'")),
        ("digits_cnn --set optimizer.momentum=0.5", ("belongs to another optimizer", "--set optimizer.name=")),
        ("digits_cnn --set epochs", ("NAME=VALUE", "'epochs'")),
        ("digits_cnn --set epochs=two", ("epochs", "`int`", "'two'")),
        ("digits_cnn --set epochs=0", ("epochs", ">= 1", "got 0")),
        ("digits_cnn --set optimizer.lr=1e999", ("optimizer.lr", "`float`")),
        ("digits_cnn --set optimizer.name=sdg", ("sgd, adam, adamw", "'sdg'")),
        ("digits_cnn --set schedule=linear", ("constant, cosine", "'linear'")),
        ("digits_cnn --set strategy.mode=quick", ("strategy.mode", "exact", "'quick'")),
        ("digits_cnn --set strategy.mode=sync", ("strategy.mode is one of exact, fast (got 'sync')",)),
        ("digits_cnn --set model=resnet", ("no model is called 'resnet'", "did you mean 'resnet9'")),
        ("digits_cnn --engine lokal", ("no engine is called 'lokal'", "did you mean 'local'")),
        ("digits_cnn --strategy ring", ("single, all_reduce", "'ring'")),
        ("digits_cnn --strategy single --workers 2", ("'single' has one worker", "workers=2")),
        ("digits_cnn --workers 5", ("[1, microbatches]", "workers=5, microbatches=4", "lower --workers")),
        ("digits_cnn --workers 0", ("workers", ">= 1")),
        ("digits_cnn --workers many", ("--workers", "'many'")),
        ("digits_cnn --name a/b", ("a run's name", "'a/b'", "--name")),
        ("digits_cnn --name ..", ("a run's name", "'..'")),
        ("digits_cnn --data nowhere", ("nowhere", "does not exist")),
        ("digits_cnn --data gopher://hole/digits", ("gopher://hole/digits",)),
        ("digits_cnn --data embedded:digit", ("embedded:digits", "'digit'")),
        ("digits_cnn --runs gopher://hole/runs", ("gopher://hole/runs",)),
        ("digits_cnn --runs memory:runs", ("'local' has processes", "--runs")),
        ("digits_cnn --speed 3", ("no argument '--speed'",)),
        ("", ("RECIPE|FILE",)),
    ],
)
def test_a_wrong_command_is_refused_before_anything_starts(words: str, told: tuple[str, ...], capsys: Capture) -> None:
    assert_told(here(capsys, "train", *words.split()), 2, *told)
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("garbage.toml", b"\xff\x00[[[", ("garbage.toml cannot be read",)),
        ("list.json", b"[1]", ("must hold a table", "got list")),
        ("model.toml", b"model = 3", ("model", "`str`")),
        ("bare.toml", b'model = "digits_cnn"', ("'data'", "got none")),
        ("deep.json", b"[" * 100_000, ("deep.json cannot be read",)),
        ("large.toml", b"#" * (1 << 20) + b"\n", ("at most 1048576 bytes",)),
    ],
)
def test_a_wrong_spec_file_is_refused(name: str, content: bytes, told: tuple[str, ...], capsys: Capture) -> None:
    Path(name).write_bytes(content)
    assert_told(here(capsys, "train", name), 2, *told)


@pytest.mark.parametrize(
    ("folder", "told"),
    [
        ("one-class", ("at least two class folders", "only 'cat'")),
        ("empty", ("holds no labelled images",)),
        ("not-a-picture", ("notes.png is not a picture", "remove it")),
        ("varying", ("vary in size", "pileus data write", "--resize")),
        ("tiny", ("at least 8 pixels a side", "3x3")),
        ("colour", ("grey", "3 channels", "data.input=picture")),
        ("few", ("at least two classes",)),
        ("plain.txt", ("plain.txt",)),
    ],
)
def test_data_that_cannot_be_learnt_from_are_refused(
    folder: str, told: tuple[str, ...], pictures: Path, capsys: Capture
) -> None:
    words = ("train", "digits_cnn", "--engine", "fake", "--set", "epochs=1")
    assert_told(here(capsys, *words, "--data", pictures / folder), 2, *told)
    assert "no runs in runs" in here(capsys, "runs", "list").out
    after = here(capsys, *words, "--data", pictures / "good", "--quiet")
    assert (after.code, after.err) == (0, "")


def test_colour_pictures_are_learnt_from_when_it_is_said(pictures: Path, capsys: Capture) -> None:
    words = ("digits_cnn", "--engine", "fake", "--set", "epochs=1", "--set", "data.input=picture")
    assert here(capsys, "train", *words, "--data", pictures / "colour").code == 0


def test_a_name_that_is_taken_is_refused_before_records_are_written(pictures: Path, capsys: Capture) -> None:
    words = ("train", "digits_cnn", "--engine", "fake", "--set", "epochs=1", "--name", "mine")
    assert here(capsys, *words, "--data", pictures / "good").code == 0
    assert_told(here(capsys, *words, "--data", pictures / "not-a-picture"), 2, "exists", "--name", "pileus runs resume")


def test_a_place_with_odd_letters_is_quoted_where_it_is_told(digits: Path, capsys: Capture) -> None:
    runs = Path("my runs 100% #1")
    done = here(capsys, *trial_words(digits, "--engine", "fake", "--runs", runs, "--name", "a", "--set", "epochs=1"))
    assert f"pileus serve '{runs.absolute()}/a'" in done.out
    assert here(capsys, "runs", "show", runs / "a").code == 0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    _mount(place, "size=8m")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def _mount(place: Path, options: str) -> None:
    try:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("mounting a small disk needs the program mount")
    if done.returncode:
        pytest.skip(f"mounting a small disk is not permitted: {done.stderr.strip()}")


def _fill(disk: Path) -> Path:
    """A file that takes all the space that is left."""
    ballast = disk / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for size in (1 << 16, 1 << 12):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
    return ballast


def test_a_full_disk_is_told_and_does_no_harm(disk: Path, pictures: Path, capsys: Capture) -> None:
    words = ("train", "digits_cnn", "--engine", "fake", "--set", "epochs=1", "--data", pictures / "good")
    ballast = _fill(disk)
    assert_told(here(capsys, *words, "--runs", disk / "runs"), 1, "disk is full", str(disk))
    ballast.unlink()
    assert here(capsys, *words, "--runs", disk / "runs").code == 0


class _FillsTheDisk:
    """Leaves no space on the disk once three epochs are done."""

    def __init__(self, disk: Path) -> None:
        self.ballast = disk / "ballast"

    def say(self, text: str) -> None:
        if text.startswith("epoch  3/") and not self.ballast.exists():
            _fill(self.ballast.parent)

    def progress(self, done: int, total: int) -> None:
        return None


@pytest.mark.parametrize("engine", ["fake", "local"])
def test_a_disk_that_gets_full_in_training_keeps_what_was_saved(
    engine: str, disk: Path, digits: Path, fingerprint: str
) -> None:
    observer = _FillsTheDisk(disk)
    spec = trial_spec(digits, f"engine.name={engine}", "workers=2")
    with pytest.raises(PileusError, match=r"(?s)disk is full.*pileus runs resume") as raised:
        train(spec, runs=str(disk / "runs"), name="full", observer=observer)
    assert raised.value.exit_code == 1
    run = find_run("full", str(disk / "runs"))
    check = verify_run(run)
    assert check.faults == ()
    assert check.epochs_proved >= 1
    observer.ballast.unlink()
    assert resume(run.uri, engine="fake").fingerprint == fingerprint
    assert verify_run(run).faults == ()


def test_a_read_only_place_is_told_and_can_still_be_read(
    disk: Path, digits: Path, fingerprint: str, capsys: Capture
) -> None:
    words = trial_words(digits, "--engine", "fake", "--runs", disk / "runs")
    assert here(capsys, *words, "--name", "done").code == 0
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    assert_told(here(capsys, *words, "--name", "more"), 1, "read-only")
    assert_told(here(capsys, "train", "digits_cnn", "--runs", disk / "elsewhere"), 1, "read-only")
    (run,) = (disk / "runs").iterdir()
    for verb in ("show", "verify", "resume"):
        assert here(capsys, "runs", verb, run).code == 0
    assert "done" in here(capsys, "runs", "list", "--runs", disk / "runs").out


def test_a_run_in_a_read_only_place_is_not_gone_on_with(
    disk: Path, digits: Path, fingerprint: str, capsys: Capture
) -> None:
    observer = _FillsTheDisk(disk)
    with pytest.raises(PileusError, match="disk is full"):
        train(trial_spec(digits, "engine.name=fake"), runs=str(disk), name="stopped", observer=observer)
    observer.ballast.unlink()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    assert_told(here(capsys, "runs", "resume", disk / "stopped", "--engine", "fake"), 1, "read-only")
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    resumed = here(capsys, "runs", "resume", disk / "stopped", "--engine", "fake", "--json")
    assert fingerprint in resumed.out
