"""Pack the pen strokes of UCI pen-digits into the file that ships as `embedded:strokes`.

    python scripts/pack_strokes.py [../shared/data/pendigits/pendigits-orig.tra.gz]

The same input gives the same bytes. Layout of the .npz (no pickle), digits in the order of the original file:

    labels         (D,) uint8    the digit
    writers        (D,) uint8    1..30
    num_strokes    (D,) uint8    strokes of each digit
    num_points     (S,) uint16   points of each stroke, strokes of all digits in a row
    deltas         (2, P) int16  x and y steps from the point before, in each stroke first from (0, 0)

The original's y grows upwards on a tablet of 500 x 500 units; it is packed as 500 - y, growing downwards.
"""

from __future__ import annotations

import gzip
import re
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT.parent / "shared/data/pendigits/pendigits-orig.tra.gz"
DESTINATION = ROOT / "src/pileus/data/embedded/strokes.npz"
TABLET = 500

_SEGMENT = re.compile(
    r'\.SEGMENT DIGIT\s+[\d-]+ \? "(?P<label>\d)"\s*\n\.COMMENT (?P<comment_label>\d)\s+(?P<writer>\d+)'
)


def main(source: Path = SOURCE, destination: Path = DESTINATION) -> None:
    text = gzip.decompress(source.read_bytes()).decode("ascii")
    heads = list(_SEGMENT.finditer(text))
    stops = [head.start() for head in heads[1:]] + [len(text)]
    if len(heads) != text.count(".SEGMENT"):
        raise SystemExit(f"{source}: {text.count('.SEGMENT')} segments, of which {len(heads)} could be read.")
    labels, writers, num_strokes, strokes = [], [], [], []
    for head, stop in zip(heads, stops, strict=True):
        if head["label"] != head["comment_label"]:
            raise SystemExit(f"{source}: the label {head['label']} is {head['comment_label']} in its comment.")
        drawn = [_points(block) for block in text[head.end() : stop].split(".PEN_DOWN")[1:]]
        labels.append(int(head["label"]))
        writers.append(int(head["writer"]))
        num_strokes.append(len(drawn))
        strokes.extend(drawn)
    deltas = np.concatenate([np.diff(points, axis=0, prepend=0) for points in strokes]).T
    np.savez_compressed(
        destination,
        labels=np.array(labels, np.uint8),
        writers=np.array(writers, np.uint8),
        num_strokes=np.array(num_strokes, np.uint8),
        num_points=np.array([len(points) for points in strokes], np.uint16),
        deltas=np.ascontiguousarray(deltas, dtype=np.int16),
    )
    size = destination.stat().st_size
    print(f"{destination.name}: {len(labels)} digits, {len(strokes)} strokes, {size} bytes")


def _points(block: str) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """(n, 2) x to the right, y downwards."""
    numbers = np.array(block.split(".PEN_UP")[0].split(), np.int64).reshape(-1, 2)
    return np.stack([numbers[:, 0], TABLET - numbers[:, 1]], axis=1)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
