from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pileus.data.sources.open import open_source
from pileus.data.write import WriteOptions
from pileus.errors import SourceError, SpecError, UsageError
from pileus.operations.write import write_source
from pileus.records import manifest
from tests.contracts.tiny import write_folder

_ROOT = Path(__file__).resolve().parents[3]


def test_the_bytes_do_not_depend_on_who_packs(tmp_path: Path) -> None:
    photos = write_folder(tmp_path / "photos")
    contents = []
    for engine, workers in (("local", 1), ("local", 3), ("fake", 2)):
        place = tmp_path / f"{engine}-{workers}"
        options = WriteOptions(num_shards=4, resize=(6, 6), encode="jpeg")
        write_source(open_source(str(photos)), str(place), options=options, engine=engine, workers=workers)
        contents.append({path.name: path.read_bytes() for path in place.iterdir()})
    assert contents[0] == contents[1] == contents[2]
    assert sum(name.endswith(".tfrecord") for name in contents[0]) == 4


def test_a_bad_sample_in_another_process_is_told(tmp_path: Path) -> None:
    photos = write_folder(tmp_path / "photos")
    (photos / "dog" / "1.jpg").write_bytes((photos / "dog" / "1.jpg").read_bytes()[:-30])
    with pytest.raises(SourceError, match=r"1\.jpg cannot be used"):
        write_source(open_source(str(photos)), str(tmp_path / "set"), options=WriteOptions(num_shards=3), workers=2)
    assert not (tmp_path / "set" / manifest.MANIFEST_KEY).exists()


def test_progress_of_workers_is_told_to_the_end(tmp_path: Path) -> None:
    told: list[tuple[int, int, int]] = []
    source = open_source(str(write_folder(tmp_path / "photos")))
    options = WriteOptions(num_shards=3)
    summary = write_source(
        source, str(tmp_path / "set"), options=options, workers=2, progress=lambda *done: told.append(done)
    )
    assert [done[:2] for done in told] == [(2, 6), (4, 6), (6, 6)]
    assert 0 < told[0][2] < told[1][2] < told[2][2]
    assert summary.manifest.records == 6


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        ({"workers": 0}, UsageError, "workers must be at least 1"),
        ({"engine": "lokal"}, SpecError, "did you mean 'local'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    tmp_path: Path, wrong: dict[str, object], error: type[Exception], says: str
) -> None:
    source = open_source(str(write_folder(tmp_path / "photos")))
    with pytest.raises(error, match=says):
        write_source(source, str(tmp_path / "set"), **wrong)  # type: ignore[arg-type]
    assert not (tmp_path / "set").exists()


def test_writing_by_processes_needs_no_torch(tmp_path: Path) -> None:
    (tmp_path / "without" / "torch").mkdir(parents=True)
    (tmp_path / "without" / "torch" / "__init__.py").write_text("raise ImportError('not here')")
    photos = write_folder(tmp_path / "photos")
    words = ["data", "write", str(photos), str(tmp_path / "set"), "--processes", "2", "--num-shards", "2"]
    paths = os.pathsep.join([str(tmp_path / "without"), str(_ROOT / "src")])
    done = subprocess.run(
        [sys.executable, "-m", "pileus", *words],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, "wrote 6 records" in done.stdout) == (0, True), done.stderr
