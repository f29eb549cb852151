"""How right a bundle is on what people draw, and what it rejects: by the very path that a server answers on.

Digits of MNIST and of pen strokes of writers that training has not seen, digits in a row, amounts on cheques, digits by
many hands and pens, and what is no digit at all.

    python benchmarks/drawings.py BUNDLE DATA [--split validation] [--count 300] [--final] [--no-record]

DATA has the folders mnist, fashion-mnist and orand-car. Everything that may be tuned is tuned by `--split validation`
and the first half of the cheques; `--final` tells the half that is held back, which is looked at once.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from drawn import strings
from drawn.answers import Asked, share_right
from drawn.distortions import HANDS, Hand, in_a_picture, in_strokes, is_of_strokes
from drawn.pictures import rejections, shares
from drawn.strangers import AS_TRAINED, images_of, of_frames, strangers
from record import write_record

from pileus.bundles import Bundle
from pileus.data.ports import Split
from pileus.data.sources.strokes import DrawnDigit, load_strokes
from pileus.measure.calibration import MOST_REJECTED
from pileus.operations.evaluate import evaluate, find_bundle

STROKES = "embedded:strokes"
PARTS = ("digits", "strings", "cheques", "distortions", "rejected")
SPLITS = {"validation": Split.VALIDATION, "test": Split.TEST}

Table = dict[str, dict[str, float]]


def of_digits(place: str, data: Path, split: str) -> dict[str, Any]:
    """Of single digits, whose classes the model knows."""
    told: dict[str, Any] = {}
    for name, source in {"MNIST": str(data / "mnist"), "pen strokes of other writers": STROKES}.items():
        found = evaluate(place, source, split="validation" if split == "validation" else "test")
        told[name] = {
            "samples": found.measured.num_samples,
            "accuracy": found.measured.accuracy,
            "interval": found.measured.accuracy_interval,
            "ece": found.measured.ece,
            "false rejects": found.rejection.false_rejects if found.rejection else None,
        }
    return told


def of_strings(bundle: Bundle, split: Split, count: int) -> Table:
    """Of strings, by how far their digits are apart and by how many they are."""
    return {
        gap: {
            f"{length} digits": share_right(bundle, strings.composed(split, gap, length, count))
            for length in strings.LENGTHS
        }
        for gap in strings.GAPS
    }


def of_distortions(bundle: Bundle, split: Split, count: int) -> Table:
    """Of pictures of digits by what was done to them and how much; and of the same digits as strokes."""
    digits = load_strokes(split)
    digits = [digits[place] for place in np.linspace(0, len(digits) - 1, min(count, len(digits)), dtype=int)]
    table: Table = {}
    for name, hands in HANDS.items():
        table[name] = {
            strength: share_right(bundle, _asked(digits, hand, "picture")) for strength, hand in hands.items()
        }
        if all(map(is_of_strokes, hands.values())):
            table[f"{name}, as strokes"] = {
                strength: share_right(bundle, _asked(digits, hand, "strokes")) for strength, hand in hands.items()
            }
    return table


def _asked(digits: list[DrawnDigit], hand: Hand, how: str) -> list[Asked]:
    rng = np.random.default_rng(5)
    return [(in_strokes if how == "strokes" else in_a_picture)(digit, hand, rng) for digit in digits]


def of_strangers(bundle: Bundle, data: Path, split: Split) -> Table:
    """Shares rejected by kind: by the bundle's own threshold, and by one that rejects 2 % of this split's writers."""
    digits_N = of_frames(bundle, [image for image, _ in images_of(STROKES, split)])
    own = bundle.manifest.calibration.rejected
    even = float(np.quantile(digits_N, MOST_REJECTED))
    met = {"pen strokes of other writers": digits_N, **strangers(bundle, data, split)}
    drawn = np.concatenate([values for name, values in met.items() if name.startswith("drawn: ")])
    met["drawn figures and letters, all"] = drawn
    met[f"{AS_TRAINED}all"] = np.concatenate([values for name, values in met.items() if name.startswith(AS_TRAINED)])
    return {
        name: {"by the bundle's": float((values < own).mean()), "at 2 %": float((values < even).mean())}
        for name, values in met.items()
    }


def figures_of(raw: dict[str, Any]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for name, told in raw.get("digits", {}).items():
        low, high = told["interval"]
        figures[f"{name}, accuracy"] = f"{told['accuracy']:.2%} of {told['samples']:,} (95 %: {low:.2%} to {high:.2%})"
        figures[f"{name}, calibration error"] = f"{told['ece']:.2%}"
        if told["false rejects"] is not None:
            figures[f"{name}, false rejects"] = f"{told['false rejects']:.2%}"
    for gap, by_length in raw.get("strings", {}).items():
        figures[f"strings of 2 to 5 digits, {gap}"] = _percents({"all": np.mean(list(by_length.values())), **by_length})
    for half, share in raw.get("cheques", {}).items():
        figures[f"amounts on cheques, {half}"] = f"{share:.1%}"
    for name, by_strength in raw.get("distortions", {}).items():
        figures[f"pictures: {name}" if "strokes" not in name else name] = _percents(by_strength)
    for name, rejected in raw.get("rejected", {}).items():
        figures[f"rejected of {name}"] = _percents(rejected)
    return figures


def _percents(shares_by_name: dict[str, Any]) -> str:
    return ", ".join(f"{name} {share:.1%}".strip() for name, share in shares_by_name.items())


def measured(args: argparse.Namespace) -> dict[str, Any]:
    bundle, _ = find_bundle(args.bundle, "runs")
    split, count = SPLITS[args.split], args.count
    halves = {"the half that was tuned on": 0} | ({"the half that was held back": 1} if args.final else {})
    parts: dict[str, Callable[[], Any]] = {
        "digits": lambda: of_digits(args.bundle, args.data, args.split),
        "strings": lambda: of_strings(bundle, split, max(1, count // 3)),
        "cheques": lambda: {
            name: share_right(bundle, [each.asked for each in strings.cheques(args.data / "orand-car", half)])
            for name, half in halves.items()
        },
        "distortions": lambda: of_distortions(bundle, split, count),
        "rejected": lambda: of_strangers(bundle, args.data, split),
    }
    raw: dict[str, Any] = {
        "bundle": bundle.manifest.version,
        "calibration": msgspec.to_builtins(bundle.manifest.calibration),
        "split": args.split,
    }
    for part in args.parts:
        started = time.perf_counter()
        raw[part] = parts[part]()
        print(f"{part}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    return raw


def pictures_of(raw: dict[str, Any]) -> dict[str, bytes]:
    """By file name: of the parts that were measured."""
    pictures = {}
    if "distortions" in raw:
        pictures["distortions.png"] = shares(raw["distortions"])
    if "rejected" in raw:
        told = {name: shares_of["by the bundle's"] for name, shares_of in raw["rejected"].items()}
        pictures["rejected.png"] = rejections(told)
    return pictures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", help="a run or a bundle")
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", choices=list(SPLITS), default="test")
    parser.add_argument(
        "--count", type=int, default=300, help="digits by each hand; a third as many strings of a length"
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--final", action="store_true", help="tell the cheques that are held back, too")
    parser.add_argument("--pictures", type=Path, help="write the pictures of the tables to this folder too")
    parser.add_argument("--no-record", action="store_true", help="measure and tell, write nothing")
    args = parser.parse_args()
    if set(args.parts) < set(PARTS) and not args.no_record:
        parser.error("a record is of all parts; leave --parts out, or give --no-record")
    raw = measured(args)
    figures, pictures = figures_of(raw), pictures_of(raw)
    print(json.dumps(figures, indent=2, ensure_ascii=False))
    folders = [args.pictures] if args.pictures else []
    if not args.no_record:
        says = (
            "What a bundle answers to digits of people whom it has not learned from, and to what is no digit. Right is "
            "an answer that is the whole text and nothing else. ![Accuracy by distortion](distortions.png) "
            "![Rejected](rejected.png)"
        )
        folders.append(write_record("drawings", figures, raw, says))
        print(folders[-1])
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in pictures.items():
            (folder / name).write_bytes(content)


if __name__ == "__main__":
    main()
