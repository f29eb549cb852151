from __future__ import annotations

import hashlib
import subprocess
import sys
from collections import Counter
from importlib.resources import files
from pathlib import Path

import numpy as np

from pileus.data.ports import Encoded, Split
from pileus.data.sources.strokes import TEST_WRITERS, VALIDATION_WRITERS, load_strokes, open_strokes, split_of_writer
from pileus.preprocessing.strokes import rasterise
from pileus.spec.preprocessing import Drawing

_ROOT = Path(__file__).resolve().parents[4]
_PACKED = files("pileus") / "data" / "embedded" / "strokes.npz"


def test_all_digits_of_all_writers_are_there() -> None:
    digits = load_strokes()
    assert len(digits) == len({digit.id for digit in digits}) == 7494
    assert Counter(len(digit.strokes) for digit in digits) == {1: 5564, 2: 1921, 3: 9}
    points = np.concatenate([stroke for digit in digits for stroke in digit.strokes])
    assert points.min() >= 0
    assert points.max() <= 500


def test_no_writer_is_in_two_splits() -> None:
    writers = {split: {digit.id.split("/")[0] for digit in load_strokes(split)} for split in Split}
    assert [len(writers[split]) for split in Split] == [20, 4, 6]
    assert len(set.union(*writers.values())) == 30
    assert [len(load_strokes(split)) for split in Split] == [4995, 1000, 1499]


def test_writers_are_split_as_the_table_says_it_was_made() -> None:
    order = sorted(range(1, 31), key=lambda writer: hashlib.sha256(f"writer{writer:02}".encode()).hexdigest())
    assert frozenset(order[:6]) == TEST_WRITERS
    assert frozenset(order[6:10]) == VALIDATION_WRITERS
    assert split_of_writer(7) == Split.TEST


def test_images_are_the_rasterised_strokes() -> None:
    source = open_strokes()
    for position in (0, 3000, 7493):
        digit = load_strokes()[position]
        sample = source[position]
        assert not isinstance(sample.image, Encoded)
        assert (sample.label, sample.id) == (digit.label, digit.id)
        assert np.array_equal(sample.image, rasterise(digit.strokes, Drawing()))


def test_y_grows_downwards() -> None:
    """Sevens begin at the top: their first point lies above their last."""
    sevens = [digit for digit in load_strokes() if digit.label == 7 and len(digit.strokes) == 1]
    downwards = [digit.strokes[0][0, 1] < digit.strokes[0][-1, 1] for digit in sevens]
    assert np.mean(downwards) > 0.99


def test_the_file_is_small_and_attributed() -> None:
    assert len(_PACKED.read_bytes()) < 1_000_000
    notice = (files("pileus") / "data" / "embedded" / "NOTICE").read_text()
    for words in ("Alpaydin", "CC BY 4.0", "10.24432/C5MG6K", "What was changed"):
        assert words in notice


def test_the_script_packs_the_same_digits_again(shared_data: Path, tmp_path: Path) -> None:
    """Contents are compared, not bytes: zlib's releases compress differently."""
    original = shared_data / "pendigits" / "pendigits-orig.tra.gz"
    for name in ("one.npz", "two.npz"):
        subprocess.run(
            [sys.executable, _ROOT / "scripts/pack_strokes.py", original, tmp_path / name], check=True, timeout=60
        )
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    with np.load(tmp_path / "one.npz") as again, np.load(str(_PACKED)) as shipped:
        assert set(again) == set(shipped)
        assert all(np.array_equal(again[name], shipped[name]) for name in shipped)
