from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pileus.data.sources.open import open_source
from pileus.data.write import Division, WriteOptions
from pileus.errors import SourceError, SpecError, UsageError
from pileus.operations.write import write_source
from pileus.records import manifest
from tests.contracts.tiny import write_folder, write_idx
from tests.servers.web import Site, web_site

_ROOT = Path(__file__).resolve().parents[3]


def test_the_bytes_do_not_depend_on_who_packs(tmp_path: Path) -> None:
    photos = write_folder(tmp_path / "photos")
    contents = []
    for number, (engine, workers, division) in enumerate(
        (
            ("local", 1, Division()),
            ("local", 3, Division(partitions=3, cache=False)),
            ("fake", 2, Division(cache=False)),
            ("fake", 2, Division(partitions=2)),
        )
    ):
        place = tmp_path / str(number)
        options = WriteOptions(num_shards=4, resize=(6, 6), encode="jpeg")
        source = open_source(str(photos))
        write_source(source, str(place), options=options, engine=engine, workers=workers, division=division)
        contents.append({path.name: path.read_bytes() for path in place.iterdir()})
    assert contents[0] == contents[1] == contents[2] == contents[3]
    assert sum(name.endswith(".tfrecord") for name in contents[0]) == 4


@pytest.mark.parametrize("cache", [True, False])
def test_shards_of_a_remote_source_are_kept_where_a_cache_is_wanted(
    cache: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PILEUS_CACHE", str(tmp_path / "cache"))
    first = write_source(open_source(str(write_idx(tmp_path / "idx"))), str(tmp_path / "set"))
    files = {f"/set/{each.name}": each.read_bytes() for each in (tmp_path / "set").iterdir()}
    with web_site(Site(files=files)) as served:
        source = open_source(f"{served.url}/set")
        options, division = WriteOptions(num_shards=2), Division(cache=cache)
        again = write_source(source, str(tmp_path / "again"), options=options, engine="fake", division=division)
    assert again.manifest.fingerprint == first.manifest.fingerprint
    assert (tmp_path / "cache").exists() is cache


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
