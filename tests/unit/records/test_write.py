from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from blake3 import blake3

from pileus.errors import AlreadyExists, Damaged, SourceError
from pileus.records import frame, manifest, open_records
from pileus.records.example import Example, encode
from pileus.records.hashing import content_digest, digests_of
from pileus.records.write import finish, write_shard
from pileus.spec.preprocessing import Drawing, Picture
from pileus.store import Store, open_store
from tests.unit.records.sets import examples, origin, write_set


def test_the_bytes_follow_from_the_records_alone(tmp_path: Path) -> None:
    for place in ("one", "two"):
        write_set(open_store(tmp_path / place))
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == [
        "index.bin",
        "manifest.json",
        "shard-00000-of-00003.idx",
        "shard-00000-of-00003.tfrecord",
        "shard-00001-of-00003.idx",
        "shard-00001-of-00003.tfrecord",
        "shard-00002-of-00003.idx",
        "shard-00002-of-00003.tfrecord",
    ]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_shard_is_its_frames_whatever_the_store_and_the_sizes(tmp_path: Path) -> None:
    """Records that fill a chunk to the byte, and that are larger than all that is held."""
    numbers = np.random.default_rng(2)
    sizes = [1, 300_000, 300_000, 1 << 19, 5, (1 << 20) + 3, 3 << 20, 0, 7]
    records = [Example(numbers.bytes(size), "jpeg", 1, 1, 3, 0, "a", f"id-{size}", 0) for size in sizes]
    folder, memory = open_store(tmp_path), open_store("memory:frames")
    parts = [write_shard(store, manifest.shard_key(0, 1), records) for store in (folder, memory)]
    framed = []
    for record in records:
        data, _ = encode(record)
        framed.append(frame.header(len(data)) + data + frame.footer(frame.crc32c(data)))
    for store, part in zip((folder, memory), parts, strict=True):
        content = store.get(manifest.shard_key(0, 1)).content
        assert content == b"".join(framed)
        assert (part.shard.size_bytes, part.shard.crc) == (len(content), frame.crc32c(content))
        assert part.columns.offset.tolist() == [sum(map(len, framed[:row])) for row in range(len(sizes))]
        assert part.image_digests == b"".join(content_digest(record.image) for record in records)
        assert part.digests == b"".join(digests_of(*where(record)).record for record in records)


def where(example: Example) -> tuple[bytes, int, int]:
    data, start = encode(example)
    return data, start, len(example.image)


def test_digests_are_plain_blake3() -> None:
    data = bytes(range(100))
    image = blake3(data[20:70]).digest(16)
    assert digests_of(data, 20, 50) == (blake3(data[:20] + data[70:] + image).digest(16), image)


def test_the_fingerprint_does_not_depend_on_the_shards(tmp_path: Path) -> None:
    sets = [write_set(open_store(tmp_path / str(shards)), num_shards=shards) for shards in (1, 2, 5)]
    assert len({each.fingerprint for each in sets}) == 1
    assert [len(each.shards) for each in sets] == [1, 2, 5]


def test_the_fingerprint_covers_everything_that_training_sees(tmp_path: Path) -> None:
    base = examples()
    pixel = base[0]._replace(image=bytes(12))
    label = base[0]._replace(label=1, class_text="b")
    renamed = base[0]._replace(id="another")
    moved = base[0]._replace(split=2)
    prints = {
        write_set(open_store(tmp_path / str(number)), [first, *base[1:]]).fingerprint
        for number, first in enumerate((base[0], pixel, label, renamed, moved))
    }
    prints.add(write_set(open_store(tmp_path / "classes"), classes=("a", "B", "c")).fingerprint)
    prints.add(write_set(open_store(tmp_path / "drawing"), preprocessing=Drawing(height=2, width=2)).fingerprint)
    prints.add(write_set(open_store(tmp_path / "order"), base[::-1]).fingerprint)
    assert len(prints) == 8


def test_the_manifest_counts_what_is_there(tmp_path: Path) -> None:
    described = write_set(open_store(tmp_path))
    assert described.records == 10
    assert described.splits == {"train": 4, "validation": 3, "test": 3}
    assert [shard.records for shard in described.shards] == [4, 3, 3]
    assert [shard.size_bytes for shard in described.shards] == [
        (tmp_path / shard.name).stat().st_size for shard in described.shards
    ]


def test_pictures_of_one_shape_are_pictures_of_that_shape(tmp_path: Path) -> None:
    described = write_set(open_store(tmp_path))
    assert described.shape == (2, 2, 3)
    assert described.preprocessing == Picture(height=2, width=2, channels=3)


def test_varying_shapes_have_no_preprocessing(tmp_path: Path) -> None:
    odd = Example(bytes(3), "raw", 1, 1, 3, 0, "a", "odd", 0)
    described = write_set(open_store(tmp_path), [*examples(), odd])
    assert described.shape is None
    assert described.preprocessing is None


def test_ids_that_are_not_unique_are_refused_by_row(tmp_path: Path) -> None:
    twice = examples()
    twice[7] = twice[7]._replace(id=twice[2].id)
    with pytest.raises(SourceError, match="rows 3 and 8 have 'id-2' and 'id-2'"):
        write_set(open_store(tmp_path), twice)
    assert not (tmp_path / "manifest.json").exists()


def test_without_its_manifest_nothing_reads_as_a_set(tmp_path: Path) -> None:
    write_set(open_store(tmp_path))
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(SourceError, match="not finished; write it again"):
        open_records(str(tmp_path))


def test_a_second_writer_of_the_same_is_content(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    assert write_set(store) == write_set(store)


def test_a_second_writer_of_something_else_is_refused(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    write_set(store)
    with pytest.raises(AlreadyExists, match="another writer"):
        write_set(store, examples()[:-1])


def test_an_index_of_another_set_is_found_out(tmp_path: Path) -> None:
    write_set(open_store(tmp_path / "one"))
    write_set(open_store(tmp_path / "two"), examples()[:-1])
    (tmp_path / "one" / "index.bin").write_bytes((tmp_path / "two" / "index.bin").read_bytes())
    with pytest.raises(Damaged, match="belongs to another manifest"):
        open_records(str(tmp_path / "one"))


_WRITE_AND_DIE = """
import os, sys
from pileus.store import open_store
from tests.unit.records.sets import write_set

class Dying:
    def __init__(self, store, last):
        self.store, self.last, self.uri = store, last, store.uri
    def delete(self, key):
        self.store.delete(key)
    def put(self, key, content, *, if_absent=False):
        if key == self.last:
            os.kill(os.getpid(), 9)
        return self.store.put(key, content, if_absent=if_absent)

write_set(Dying(open_store(sys.argv[1]), sys.argv[2]))
"""


@pytest.mark.parametrize("key", ["shard-00001-of-00003.tfrecord", manifest.INDEX_KEY, manifest.MANIFEST_KEY])
def test_a_write_killed_before_any_put_reads_as_nothing(tmp_path: Path, key: str) -> None:
    root = Path(__file__).resolve().parents[3]
    died = subprocess.run(
        [sys.executable, "-c", _WRITE_AND_DIE, str(tmp_path), key],
        env={"PYTHONPATH": f"{root}:{root / 'src'}"},
        check=False,
    )
    assert died.returncode == -9
    with pytest.raises(SourceError, match="not finished"):
        open_records(str(tmp_path))
    write_set(open_store(tmp_path))
    assert len(open_records(str(tmp_path))) == 10


def test_shards_may_be_written_in_any_order(tmp_path: Path) -> None:
    def part(store: Store, number: int) -> object:
        return write_shard(store, manifest.shard_key(number, 2), examples()[5 * number : 5 * number + 5])

    for place, order in (("one", (0, 1)), ("two", (1, 0))):
        store = open_store(tmp_path / place)
        parts = {number: part(store, number) for number in order}
        finish(
            store,
            [parts[0], parts[1]],  # type: ignore[list-item]
            classes=("a", "b", "c"),
            preprocessing=None,
            origin=origin(),
        )
    contents = [sorted((path.name, path.read_bytes()) for path in (tmp_path / p).iterdir()) for p in ("one", "two")]
    assert contents[0] == contents[1]
    assert np.array_equal(open_records(str(tmp_path / "two")).labels, [number % 3 for number in range(10)])
