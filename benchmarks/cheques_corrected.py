"""Whether a model learns from being corrected: amounts on real cheques, before and after.

A server of the bundle is asked for four fifths of the half that is tuned on, and is told what each item of its answers
should have been. `pileus retrain --warm-start` trains with these corrections, beginning with the bundle's own weights,
so that a few epochs are enough, and promotes what errs less on the fifth that was kept.

    python benchmarks/cheques_corrected.py BUNDLE DATA [--final] [--weight N] [--only-errors] [--set NAME=VALUE]

Settings are chosen by the kept fifth and the validation parts. `--final` looks at the half that is held back and at the
test parts in place of those, and writes the record.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from drawings import SPLITS, figures_of, of_digits, of_strangers
from drawn.answers import rights
from drawn.corrector import correct_all
from drawn.strings import cheques
from record import write_record

from pileus.bundles import load
from pileus.bundles.registry import Registry
from pileus.measure.paired import compare_paired
from pileus.operations.retrain import NOT_BETTER

KEPT = 51
"""Of 256 values of a hash: a fifth."""
SETTINGS = ("epochs=4", "warmup_epochs=0.5", "optimizer.lr=2e-3")


def retrained(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """What the command tells."""
    registry = Registry(str(folder / "registry"))
    registry.promote(registry.add(args.bundle, "never corrected").version, "never corrected")
    words = ["--feedback", str(folder / "corrected"), "--weight", str(args.weight), "--data", str(args.data / "mnist")]
    words += ["--test", str(folder / "kept"), "--split", "all", "--runs", str(folder / "runs"), "--json"]
    words += ["--warm-start", *(word for setting in (*SETTINGS, *args.set) for word in ("--set", setting))]
    command = [sys.executable, "-m", "pileus", "retrain", registry.place, *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in (0, NOT_BETTER):
        raise SystemExit(done.returncode)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def measured(place: str, data: Path, split: str) -> dict[str, Any]:
    return {
        "digits": of_digits(place, data, split),
        "rejected": of_strangers(load(place), data, SPLITS[split]),
    }


def tried(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    tuned = list(cheques(args.data / "orand-car", 0))
    corrected, kept = ([each for each in tuned if (each.hashed[1] < KEPT) == is_kept] for is_kept in (False, True))
    told = correct_all(load(args.bundle), corrected, folder / "corrected", confirm=not args.only_errors)
    correct_all(load(args.bundle), kept, folder / "kept", confirm=True)
    print(dict(told), file=sys.stderr)
    done = retrained(args, folder)
    parts = {"that were corrected": corrected, "kept to choose by": kept}
    if args.final:
        parts["the half that was held back"] = list(cheques(args.data / "orand-car", 1))
    split = "test" if args.final else "validation"
    places = {"before": args.bundle, "after": f"{done['uri']}/bundle"}
    bundles = {when: load(place) for when, place in places.items()}
    right = {
        when: {name: rights(bundle, [each.asked for each in part]) for name, part in parts.items()}
        for when, bundle in bundles.items()
    }
    return {
        "items": dict(told),
        "retrained": {name: value for name, value in done.items() if name not in ("registry", "uri", "run")},
        "settings": {"weight": args.weight, "confirmed": not args.only_errors, "set": [*SETTINGS, *args.set]},
        "pairs": {
            name: msgspec.to_builtins(compare_paired(right["before"][name], right["after"][name])) for name in parts
        },
    } | {
        when: measured(place, args.data, split)
        | {"cheques": {name: float(each.mean()) for name, each in right[when].items()}}
        for when, place in places.items()
    }


def figures(raw: dict[str, Any]) -> dict[str, Any]:
    """Each figure of a bundle as 'before -> after'."""
    done = raw["retrained"]
    told: dict[str, Any] = {f"items of the answers: {kind}": number for kind, number in sorted(raw["items"].items())}
    told["corrections"] = f"{done['corrections']:,}, of which {done['corrections_trained']:,} were trained on"
    told["promoted" if done["promoted"] else "not promoted"] = done["reason"]
    before, after = (figures_of(raw[when]) for when in ("before", "after"))
    told |= {name: f"{before[name]} -> {after[name]}" for name in before}
    for name, pair in raw["pairs"].items():
        told[f"amounts on cheques, {name}"] += f" ({pair['won']} of {pair['samples']} won, {pair['lost']} lost)"
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", help="of the recipe drawn_digits")
    parser.add_argument("data", type=Path, help="has the folders mnist, fashion-mnist and orand-car")
    parser.add_argument("--final", action="store_true", help="look at what is held back, and write the record")
    parser.add_argument("--weight", type=int, default=10, metavar="N", help="a correction counts as N samples")
    parser.add_argument("--only-errors", action="store_true", help="what was right is not confirmed")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="as `pileus retrain` has it")
    parser.add_argument("--folder", type=Path, help="keep corrections, registry and run in this new folder")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        raw = tried(args, args.folder or Path(temporary))
    told = figures(raw)
    print(json.dumps(told, indent=2, ensure_ascii=False))
    if args.final:
        says = (
            "A server is asked for amounts on cheques and told what each item should have been, where the labelled "
            "boxes leave no doubt; `pileus retrain` learns from that. Figures are before -> after."
        )
        print(write_record("cheques-corrected", told, raw, says))


if __name__ == "__main__":
    main()
