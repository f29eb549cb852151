"""MNIST, `mnist_cnn`, 10 full epochs: exact all-reduce with 2 workers against a plain eager PyTorch loop.

The same network (as tutorials order it), batch size, optimiser and schedule; the loop has a DataLoader over tensors in
memory and 2 intra-op threads. Both in turn, in fresh processes, so that a drift of the machine meets both.

    python benchmarks/mnist_exact.py DATA [--rounds 2] [--epochs 10]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from typing import Any

from record import spread, write_record

PLAIN = "benchmarks/plain_mnist.py"


def run(command: list[str]) -> dict[str, Any]:
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=3600)
    return dict(json.loads(done.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="folder of the MNIST idx files")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=10)
    args = parser.parse_args()
    ours, plain = [], []
    with tempfile.TemporaryDirectory() as runs:
        settings = ["--set", f"epochs={args.epochs}", "--workers", "2", "--strategy", "all_reduce"]
        train = ["-m", "pileus", "train", "mnist_cnn", "--data", args.data, "--runs", runs, "--json", *settings]
        for number in range(args.rounds):
            ours.append(run([sys.executable, *train]))
            plain.append(run([sys.executable, PLAIN, args.data, "--epochs", str(args.epochs)]))
            print(f"round {number + 1}: pileus {ours[-1]['train_s']:.1f} s {ours[-1]['accuracy']:.2%},", end=" ")
            print(f"plain {plain[-1]['train_s']:.1f} s {plain[-1]['accuracy']:.2%}", flush=True)
    ratios = [other["train_s"] / one["train_s"] for one, other in zip(ours, plain, strict=True)]
    figures = {
        "plain / pileus, training time": spread(ratios),
        "pileus training, s": spread([one["train_s"] for one in ours]),
        "plain training, s": spread([one["train_s"] for one in plain]),
        "pileus accuracy on the test part": spread([one["accuracy"] for one in ours]),
        "plain accuracy on the test part": spread([one["accuracy"] for one in plain]),
        "fingerprints of pileus": len({one["fingerprint"] for one in ours}),
    }
    says = f"{args.epochs} epochs of all 60,000 samples, batch 128: two exact workers against a plain eager loop."
    folder = write_record("mnist-exact", figures, {"pileus": ours, "plain": plain}, says)
    print(json.dumps(figures, indent=2), folder, sep="\n")


if __name__ == "__main__":
    main()
