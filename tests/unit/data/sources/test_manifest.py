from __future__ import annotations

import json
from pathlib import Path

import pytest

from pileus.data.ports import Split
from pileus.data.sources.manifest import open_manifest
from pileus.errors import SourceError
from tests.contracts.tiny import write_folder, write_manifest


def _csv(folder: Path, text: str) -> Path:
    path = write_folder(folder) / "list.csv"
    path.write_text(text)
    return path


def _lines(folder: Path, *objects: object) -> Path:
    path = write_folder(folder) / "list.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in objects))
    return path


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_rows_give_label_split_and_id(tmp_path: Path, suffix: str) -> None:
    source = open_manifest(write_manifest(tmp_path, suffix=suffix))
    assert source.classes == ("cat", "dog")
    assert [source.row(position).split for position in range(6)] == [
        Split.TRAIN,
        Split.VALIDATION,
        Split.TEST,
        Split.TRAIN,
        None,
        Split.TEST,
    ]
    assert source.row(3) == (1, "dog/0.jpg", Split.TRAIN)


def test_ids_quotes_spaces_a_byte_order_mark_and_other_columns_are_understood(tmp_path: Path) -> None:
    text = '\ufeffid,comment,label,path\nfirst,"a, b",cat,cat/0.png\n second ,,  dog ,dog/0.jpg\n'
    source = open_manifest(_csv(tmp_path, text))
    assert [source.row(position)[:2] for position in range(2)] == [(0, "first"), (1, "second")]


def test_numbers_are_classes_in_their_order(tmp_path: Path) -> None:
    rows = ({"path": path, "label": label} for path, label in (("cat/0.png", 10), ("cat/1.png", 9), ("cat/2.png", "2")))
    assert open_manifest(_lines(tmp_path, *rows)).classes == ("2", "9", "10")


def test_an_absolute_path_is_taken_as_it_is(tmp_path: Path) -> None:
    write_folder(tmp_path / "elsewhere")
    pictures = [str(tmp_path / "elsewhere" / name) for name in ("cat/0.png", "dog/0.jpg")]
    place = _csv(tmp_path / "here", f"path,label\n{pictures[0]},cat\n{pictures[1]},dog\n")
    source = open_manifest(place)
    assert source.row(0).id == pictures[0]
    assert source[1].label == 1


BAD_CSV = {
    "no head": ("cat/0.png,cat\n", r"must begin with a row that names path and label \(got cat/0\.png, cat"),
    "no label column": ("path,class\ncat/0.png,cat\n", "must begin with a row"),
    "no text": ("", "must begin with a row"),
    "no rows": ("path,label\n", "lists no pictures"),
    "one label": ("path,label\ncat/0.png,cat\ncat/1.png,cat\n", "at least two labels are needed"),
    "a file that is missing": (
        "path,label\ncat/0.png,cat\ncat/7.png,dog\n",
        r"list\.csv row 3: the picture .*cat/7\.png",
    ),
    "a folder": ("path,label\ncat,cat\ndog,dog\n", r"list\.csv row 2: the picture .*cat does not exist"),
    "an unknown split": ("path,label,split\ncat/0.png,cat,train\ndog/0.jpg,dog,exam\n", r"row 3: split .*'exam'"),
    "a path that climbs out": ("path,label\ncat/0.png,cat\n../dog/0.jpg,dog\n", r"row 3: .*climb out.*'\.\./dog"),
    "a cell too many": ("path,label\ncat/0.png,cat\ndog/0.jpg,dog,x\n", r"row 3: needs path and label"),
    "an empty label": ("path,label\ncat/0.png,cat\ndog/0.jpg,\n", r"row 3: needs path and label"),
    "the same picture twice": ("path,label\ncat/0.png,cat\ndog/0.jpg,dog\ncat/0.png,dog\n", r"row 4 repeats .*row 2"),
    "an open quote": ('path,label\ncat/0.png,cat\n"dog/0.jpg,dog\n', r"list\.csv row \d is not CSV"),
    "a zero byte": ("path,label\ncat/0.png,c\0at\n", r"row 2 is not a line of text"),
    "an endless line": ("path,label\ncat/0.png," + "x" * 70_000, r"row 2 is not a line of text"),
}


@pytest.mark.parametrize("name", BAD_CSV)
def test_a_bad_csv_is_told_by_row(tmp_path: Path, name: str) -> None:
    text, message = BAD_CSV[name]
    with pytest.raises(SourceError, match=message):
        open_manifest(_csv(tmp_path, text))


BAD_LINES: dict[str, tuple[object, str]] = {
    "no object": (["cat/0.png", "cat"], r"list\.jsonl row 2 needs path and label|list\.jsonl row 2 "),
    "no label": ({"path": "dog/0.jpg"}, r"row 2 needs path and label \(.*`label`"),
    "a path that is no text": ({"path": 3, "label": "dog"}, r"row 2 needs path and label"),
    "an empty path": ({"path": "", "label": "dog"}, "row 2: path and label must not be empty"),
    "a missing file": ({"path": "dog/9.jpg", "label": "dog"}, r"row 2: the picture .*dog/9\.jpg"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_bad_lines_are_told_by_row(tmp_path: Path, name: str) -> None:
    second, message = BAD_LINES[name]
    with pytest.raises(SourceError, match=message):
        open_manifest(_lines(tmp_path, {"path": "cat/0.png", "label": "cat"}, second))


def test_other_encodings_are_told(tmp_path: Path) -> None:
    place = _csv(tmp_path, "")
    place.write_bytes("path,label\ncat/0.png,Kätzchen\n".encode("latin1"))
    with pytest.raises(SourceError, match=r"list\.csv is not UTF-8 text"):
        open_manifest(place)


def test_a_bad_picture_is_told_by_file_and_row(tmp_path: Path) -> None:
    source = open_manifest(write_manifest(tmp_path))
    (tmp_path / "cat" / "1.png").write_bytes(b"no picture")
    with pytest.raises(SourceError, match=r"cat/1\.png \(.*pictures\.csv row 3\) is not a picture"):
        source[1]
