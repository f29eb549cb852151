from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest

from pileus.data.batches import shape_of
from pileus.data.options import Encode
from pileus.data.pixels import StreamedImages
from pileus.data.ports import Encoded, Sample, Split
from pileus.data.sources.open import open_source
from pileus.data.write import WriteOptions, plan_shards, write_records
from pileus.errors import SourceError, StoreError, UsageError
from pileus.records import manifest, open_records, verify_records
from pileus.spec.preprocessing import Drawing, Picture, Preprocessing
from tests.contracts.tiny import picture, write_cifar, write_folder, write_idx

_ROOT = Path(__file__).resolve().parents[3]
_SMALL = WriteOptions(shard_size_bytes=1 << 10)


class Listed:
    """A source of given samples."""

    kind = "listed"
    classes = ("a", "b")
    fingerprint = "0" * 64

    def __init__(self, samples: list[Sample], preprocessing: Preprocessing | None = None) -> None:
        self.samples = samples
        self.preprocessing = preprocessing

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]


def _grey(number: int, label: int = 0) -> Sample:
    return Sample(np.full((4, 4, 1), number, np.uint8), label, f"id-{number}", None)


def test_a_set_holds_its_source_in_order(tmp_path: Path) -> None:
    source = open_source(str(write_idx(tmp_path / "idx")))
    summary = write_records(source, str(tmp_path / "set"), options=_SMALL)
    assert summary.written
    records = open_records(summary.uri)
    images_NHWC = records.images(range(len(records)))
    for position in range(len(source)):
        image, label, sample_id, split = source[position]
        assert np.array_equal(images_NHWC[position], image)
        assert (records.labels[position], records.id(position)) == (label, sample_id)
        assert records.splits[position] == split
    assert records.preprocessing == source.preprocessing
    assert len(records.manifest.shards) > 1
    assert verify_records(summary.uri).ok


def test_samples_without_a_split_get_one(tmp_path: Path) -> None:
    samples = [_grey(number, number % 2) for number in range(100)]
    summary = write_records(Listed(samples), str(tmp_path))
    assert all(count > 0 for count in summary.manifest.splits.values())


def test_shards_are_cut_evenly_by_size(tmp_path: Path) -> None:
    source = open_source(str(write_idx(tmp_path, train=100)))
    pieces = plan_shards(source, _SMALL)
    assert [position for piece in pieces for position in piece.samples] == list(range(105))
    lengths = [len(piece.samples) for piece in pieces]
    assert max(lengths) - min(lengths) <= 1
    write_records(source, str(tmp_path / "set"), options=_SMALL)
    sizes = [shard.size_bytes for shard in open_records(str(tmp_path / "set")).manifest.shards]
    assert all(700 < size < 1500 for size in sizes)


def test_the_shard_size_does_not_change_the_fingerprint(tmp_path: Path) -> None:
    source = open_source(str(write_folder(tmp_path / "photos")))
    prints = {
        write_records(
            source, str(tmp_path / str(size)), options=WriteOptions(shard_size_bytes=size)
        ).manifest.fingerprint
        for size in (1 << 10, 1 << 20)
    }
    assert len(prints) == 1


def test_a_jpeg_is_kept_and_a_png_becomes_pixels(tmp_path: Path) -> None:
    photos = write_folder(tmp_path / "photos")
    records = open_records(write_records(open_source(str(photos)), str(tmp_path / "set")).uri)
    assert [records.format(position) for position in range(6)] == ["raw"] * 3 + ["jpeg"] * 3
    assert bytes(records[3]) == (photos / "dog" / "0.jpg").read_bytes()
    assert records.shape_at(4) == (10, 7, 3)
    assert records.shape is None
    assert records.preprocessing is None


def test_resized_pictures_are_of_one_shape(tmp_path: Path) -> None:
    source = open_source(str(write_folder(tmp_path / "photos")))
    records = open_records(
        write_records(source, str(tmp_path / "set"), options=WriteOptions(resize=(6, 5), channels=1)).uri
    )
    assert records.shape == (6, 5, 1)
    assert records.all_raw
    assert records.preprocessing == Picture(height=6, width=5, channels=1)


def test_grey_and_colour_photographs_become_colour_when_resized(tmp_path: Path) -> None:
    samples = [
        Sample(Encoded(picture("PNG", mode="L"), "png"), 0, "grey", None),
        Sample(Encoded(picture("JPEG"), "jpeg"), 1, "colour", None),
    ]
    summary = write_records(Listed(samples), str(tmp_path), options=WriteOptions(resize=(4, 4)))
    assert summary.manifest.shape == (4, 4, 3)


def test_smaller_drawings_stay_drawings(tmp_path: Path) -> None:
    samples = [Sample(np.zeros((28, 28, 1), np.uint8), 0, "a", None)]
    source = Listed(samples, Drawing())
    halved = write_records(source, str(tmp_path / "14"), options=WriteOptions(resize=(14, 14))).manifest
    assert halved.preprocessing == Drawing(height=14, width=14, box=10.0, stroke_width=1.1)
    squashed = write_records(source, str(tmp_path / "wide"), options=WriteOptions(resize=(14, 28))).manifest
    assert squashed.preprocessing == Picture(height=14, width=28, channels=1)
    coloured = write_records(source, str(tmp_path / "rgb"), options=WriteOptions(channels=3)).manifest
    assert coloured.preprocessing == Picture(height=28, width=28, channels=3)


def test_pictures_of_one_size_load_as_one_array(tmp_path: Path) -> None:
    samples = [
        Sample(Encoded(picture("PNG", seed=1), "png"), 0, "one", None),
        Sample(Encoded(picture("JPEG", seed=2), "jpeg"), 1, "two", None),
        Sample(Encoded(picture("PNG", seed=3), "png"), 1, "three", None),
    ]
    records = open_records(write_records(Listed(samples), str(tmp_path)).uri)
    assert not records.all_raw
    images_NHWC = StreamedImages(records, np.arange(len(samples)))[np.array([2, 1, 2])]
    assert images_NHWC.shape == (3, 9, 7, 3)
    assert np.array_equal(images_NHWC[0], images_NHWC[2])
    with pytest.raises(UsageError, match="raw"):
        records.images([0])


def test_pictures_of_many_sizes_have_no_shape(tmp_path: Path) -> None:
    records = open_records(write_records(open_source(str(write_folder(tmp_path / "a"))), str(tmp_path / "b")).uri)
    with pytest.raises(UsageError, match=r"vary in size.*\n?.*--resize"):
        shape_of(records, None)


def test_an_equal_write_does_nothing(tmp_path: Path) -> None:
    source = open_source(str(write_idx(tmp_path / "idx")))
    first = write_records(source, str(tmp_path / "set"))
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "set").iterdir()}
    again = write_records(source, str(tmp_path / "set"))
    assert not again.written
    assert again.manifest == first.manifest
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "set").iterdir()} == before


@pytest.mark.parametrize(("name", "encode"), [("jpeg", "auto"), ("both", "auto"), ("both", "keep"), ("both", "raw")])
def test_the_origin_is_the_source_as_it_is_read_before(tmp_path: Path, name: str, encode: Encode) -> None:
    """Files stored as they are have been hashed as they were written; the others are read once more."""
    photos = write_folder(tmp_path / "photos")
    if name == "jpeg":
        for number in range(3):
            (photos / "cat" / f"{number}.png").write_bytes(picture("JPEG", 9, 7 + number))
    source = open_source(str(photos))
    summary = write_records(source, str(tmp_path / "set"), options=WriteOptions(encode=encode, num_shards=2))
    assert ("fingerprint" in vars(source)) == ((name, encode) in {("both", "auto"), ("both", "raw")})
    assert summary.manifest.origin is not None
    assert summary.manifest.origin.fingerprint == open_source(str(photos)).fingerprint


def test_a_shard_of_a_killed_write_is_not_kept_where_a_file_changed_since(tmp_path: Path) -> None:
    photos = write_folder(tmp_path / "photos")
    place, options = tmp_path / "set", WriteOptions(num_shards=2, encode="keep")
    bad = photos / "dog" / "2.jpg"
    whole = bad.read_bytes()
    bad.write_bytes(b"")
    with pytest.raises(SourceError, match="is empty"):
        write_records(open_source(str(photos)), str(place), options=options)
    assert [path.name for path in place.glob("*.part")] == ["shard-00000-of-00002.part"]
    bad.write_bytes(whole)
    (photos / "cat" / "0.png").write_bytes(picture("PNG", 9, 7, seed=77))
    write_records(open_source(str(photos)), str(place), options=options)
    assert bytes(open_records(str(place))[0]) == picture("PNG", 9, 7, seed=77)
    write_records(open_source(str(photos)), str(tmp_path / "again"), options=options)
    assert {path.name: path.read_bytes() for path in place.iterdir()} == {
        path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()
    }


def test_writers_of_the_same_set_at_the_same_time_agree(tmp_path: Path) -> None:
    source = open_source(str(write_idx(tmp_path / "idx", train=300)))
    with ThreadPoolExecutor(4) as pool:
        writes = [pool.submit(write_records, source, str(tmp_path / "set"), options=_SMALL) for _ in range(4)]
    assert len({write.result().manifest.fingerprint for write in writes}) == 1
    assert verify_records(str(tmp_path / "set")).ok


def test_another_set_in_the_way_is_left_alone(tmp_path: Path) -> None:
    source = open_source(str(write_idx(tmp_path / "idx")))
    write_records(source, str(tmp_path / "set"))
    other = open_source(str(write_cifar(tmp_path / "cifar")))
    for attempt in ((other, None), (source, WriteOptions(resize=(2, 2)))):
        with pytest.raises(UsageError, match=r"holds another record set already .*choose another or delete it"):
            write_records(attempt[0], str(tmp_path / "set"), options=attempt[1])
    assert verify_records(str(tmp_path / "set")).ok


def test_other_files_in_the_way_are_left_alone(tmp_path: Path) -> None:
    photos = write_folder(tmp_path / "photos")
    with pytest.raises(UsageError, match=r"must be empty or new \(it holds 'README\.txt'\)"):
        write_records(open_source(str(photos)), str(photos))


def test_a_set_that_lost_a_shard_is_not_called_done(tmp_path: Path) -> None:
    source = open_source(str(write_idx(tmp_path / "idx")))
    write_records(source, str(tmp_path / "set"))
    (tmp_path / "set" / "shard-00000-of-00001.tfrecord").unlink()
    with pytest.raises(UsageError, match="lacks shard-00000-of-00001"):
        write_records(source, str(tmp_path / "set"))


def test_what_a_killed_write_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    for name in ("shard-00000-of-00001.tfrecord", "shard-00007-of-00009.tfrecord", "index.bin"):
        (tmp_path / "set" / name).write_bytes(b"left over")
    source = open_source(str(write_idx(tmp_path / "idx")))
    write_records(source, str(tmp_path / "set"))
    assert sorted(path.name for path in (tmp_path / "set").iterdir()) == [
        "index.bin",
        "manifest.json",
        "shard-00000-of-00001.idx",
        "shard-00000-of-00001.tfrecord",
    ]
    assert verify_records(str(tmp_path / "set")).ok


@contextmanager
def _writing(idx: Path, place: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """`pileus data write` of many shards in a process group of its own, once the first of them is known for whole."""
    command = [sys.executable, "-m", "pileus", "data", "write", str(idx), str(place), "--shard-size", "1KB", *options]
    with subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(_ROOT / "src")},
        start_new_session=True,
    ) as writer:
        while not list(place.glob("*.part")):
            assert writer.poll() is None
        yield writer


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_write_that_was_killed_goes_on_where_it_was(tmp_path: Path, processes: str) -> None:
    place = tmp_path / "set"
    idx = write_idx(tmp_path / "idx", train=3000)
    with _writing(idx, place, "--processes", processes) as writer:
        children = psutil.Process(writer.pid).children(recursive=True)
        writer.send_signal(signal.SIGKILL)
        assert not psutil.wait_procs(children, timeout=10)[1]
    assert not (place / manifest.MANIFEST_KEY).exists()
    with pytest.raises(SourceError, match="not finished"):
        open_records(str(place))
    whole = [path.with_suffix(".tfrecord") for path in place.glob("*.part")]
    before = {path: path.stat().st_ino for path in whole}
    damaged = whole.pop()
    damaged.write_bytes(damaged.read_bytes()[:-1])
    summary = write_records(open_source(str(idx)), str(place), options=_SMALL)
    assert all(path.stat().st_ino == before[path] for path in whole)
    assert damaged.stat().st_ino != before[damaged]
    assert verify_records(str(place)).ok
    assert not list(place.glob("*.part"))
    again = write_records(open_source(str(idx)), str(tmp_path / "again"), options=_SMALL)
    assert again.manifest == summary.manifest


def test_ctrl_c_ends_a_parallel_write_quietly(tmp_path: Path) -> None:
    place = tmp_path / "set"
    with _writing(write_idx(tmp_path / "idx", train=3000), place, "--processes", "2") as writer:
        os.killpg(writer.pid, signal.SIGINT)
        _, told = writer.communicate(timeout=20)
    assert writer.returncode == 130
    assert b"Traceback" not in told
    assert not (place / manifest.MANIFEST_KEY).exists()


def test_a_killed_packing_process_is_told(tmp_path: Path) -> None:
    place = tmp_path / "set"
    with _writing(write_idx(tmp_path / "idx", train=3000), place, "--processes", "2") as writer:
        packers = [
            child for child in psutil.Process(writer.pid).children() if "spawn_main" in " ".join(child.cmdline())
        ]
        packers[0].kill()
        _, told = writer.communicate(timeout=20)
    assert writer.returncode == 1
    assert b"was killed" in told
    assert b"Traceback" not in told
    assert not (place / manifest.MANIFEST_KEY).exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "t", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_leaves_nothing_that_reads_as_a_set(tmp_path: Path, small_disk: Path) -> None:
    source = open_source(str(write_idx(tmp_path / "idx", train=300)))
    with pytest.raises(StoreError, match="disk is full"):
        write_records(source, str(small_disk / "set"), options=WriteOptions(shard_size_bytes=8 << 10))
    with pytest.raises(SourceError):
        open_records(str(small_disk / "set"))


BAD_SAMPLES: dict[str, tuple[list[Sample], str]] = {
    "none": ([], "has no samples"),
    "a label outside": ([_grey(1), _grey(2, 2)], r"labels must be in \[0, 2\) \(id-2 has 2\)"),
    "an id twice": ([_grey(1), _grey(2), _grey(1)], "rows 1 and 3 have 'id-1'"),
    "a damaged picture": (
        [_grey(1), Sample(Encoded(picture("JPEG", 50, 50)[:-200], "jpeg"), 0, "photo.jpg", Split.TRAIN)],
        r"photo\.jpg cannot be used",
    ),
}


@pytest.mark.parametrize("name", BAD_SAMPLES)
def test_bad_samples_are_told_and_leave_no_set(tmp_path: Path, name: str) -> None:
    samples, message = BAD_SAMPLES[name]
    with pytest.raises(SourceError, match=message):
        write_records(Listed(samples), str(tmp_path))
    assert not (tmp_path / manifest.MANIFEST_KEY).exists()


@pytest.mark.parametrize(
    "options",
    [
        {"shard_size_bytes": 10},
        {"shard_size_bytes": 1 << 40},
        {"resize": (0, 4)},
        {"resize": (4, 100_000)},
        {"channels": 2},
        {"validation": 1.0},
        {"validation": -0.1},
    ],
)
def test_impossible_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        WriteOptions(**options)  # type: ignore[arg-type]


def test_progress_is_told_to_the_end(tmp_path: Path) -> None:
    told: list[tuple[int, int, int]] = []
    source = open_source(str(write_idx(tmp_path / "idx", train=95)))
    write_records(source, str(tmp_path / "set"), progress=lambda *done: told.append(done))
    assert told == [(64, 100, 64 * 20), (100, 100, 100 * 20)]


def test_records_written_from_records_are_the_same(tmp_path: Path) -> None:
    first = write_records(open_source(str(write_folder(tmp_path / "photos"))), str(tmp_path / "one"))
    second = write_records(open_source(first.uri), str(tmp_path / "two"), options=_SMALL)
    assert second.manifest.fingerprint == first.manifest.fingerprint


def test_real_mnist_comes_back_pixel_by_pixel(shared_data: Path, tmp_path: Path) -> None:
    source = open_source(str(shared_data / "mnist"))
    records = open_records(write_records(source, str(tmp_path / "mnist")).uri)
    images_NHWC = records.images(np.arange(70_000))
    assert np.array_equal(images_NHWC[60_000:], source.parts[1].images)  # type: ignore[attr-defined]
    assert np.array_equal(images_NHWC[:60_000], source.parts[0].images)  # type: ignore[attr-defined]
