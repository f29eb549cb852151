"""Write the table of fingerprints into the README, from the newest record of `pileus bench fingerprints`.

    python -m scripts.show_fingerprints

A record is the folder that the command wrote, put below benchmarks/records with its date and machine:

    pileus bench fingerprints --out benchmarks/records/<date>_bench-fingerprints_<machine>
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from pileus.bench.fingerprints.report import read_figures
from pileus.bench.fingerprints.table import LEGEND, markdown, sentence

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
RECORDS = ROOT / "benchmarks" / "records"
_BLOCK = re.compile(r"(<!-- fingerprints: `make docs` -->\n).*?(<!-- end -->)", re.DOTALL)


def newest_record() -> Path:
    """By its date."""
    return max(RECORDS.glob("*_bench-fingerprints_*"))


def with_table(document: str, record: Path) -> str:
    """The document with the record's table in its block."""
    figures = read_figures((record / "figures.json").read_bytes())
    where = record.relative_to(ROOT).as_posix()
    words = f"{sentence(figures)} {LEGEND} [The record]({where})."
    told = textwrap.fill(words, 120, break_long_words=False, break_on_hyphens=False)
    block = f"\n{markdown(figures)}\n{told}\n\n"
    filled, count = _BLOCK.subn(lambda found: found[1] + block + found[2], document)
    assert count == 1, "the README has one block of fingerprints"
    return filled


if __name__ == "__main__":
    README.write_text(with_table(README.read_text(encoding="utf-8"), newest_record()), encoding="utf-8")
    print(f"wrote the table of {README.relative_to(ROOT)}")
