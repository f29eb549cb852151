"""The folder of photographs in the peers' own formats: a label and a file's unchanged bytes in each record.

python -m reading_peers.formats DATA
"""

from __future__ import annotations

import io
import sys
import tarfile
from pathlib import Path

from array_record.python import array_record_module
from streaming import MDSWriter

from reading_peers.shapes import SHARDS


def main() -> None:
    data = Path(sys.argv[1])
    root = data / "photographs" / "train"
    classes = sorted(path.name for path in root.iterdir())
    paths = sorted(root.glob("*/*.jpg"), key=lambda path: path.name)
    samples = [(path, classes.index(path.parent.name)) for path in paths]
    for name in ("tar", "array_record"):
        (data / name).mkdir()
    for number in range(SHARDS):
        part = samples[number::SHARDS]
        write_tar(data / "tar" / f"shard-{number:05}.tar", part)
        write_array_record(data / "array_record" / f"shard-{number:05}.array_record", part)
    size_bytes = sum(path.stat().st_size for path in paths)
    with MDSWriter(
        out=str(data / "mds"), columns={"jpg": "bytes", "cls": "int"}, size_limit=size_bytes // SHARDS
    ) as mds:
        for path, label in samples:
            mds.write({"jpg": path.read_bytes(), "cls": label})


def write_tar(dest: Path, samples: list[tuple[Path, int]]) -> None:
    with tarfile.open(dest, "w") as tar:
        for path, label in samples:
            for suffix, content in (("jpg", path.read_bytes()), ("cls", str(label).encode())):
                member = tarfile.TarInfo(f"{path.stem}.{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def write_array_record(dest: Path, samples: list[tuple[Path, int]]) -> None:
    """The label is the first byte. Each record by itself, as Grain asks for reading at random."""
    writer = array_record_module.ArrayRecordWriter(str(dest), "group_size:1")
    for path, label in samples:
        writer.write(bytes([label]) + path.read_bytes())
    writer.close()


if __name__ == "__main__":
    main()
