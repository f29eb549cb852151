"""What a run settles once, before it is written: its arithmetic's precision, and the bundle that it begins with."""

from __future__ import annotations

import msgspec

from pileus.bundles.copy import copy_bundle
from pileus.bundles.load import find_place
from pileus.bundles.weights import read_weights
from pileus.errors import UsageError
from pileus.machine import has_bf16
from pileus.operations.observer import Observer
from pileus.spec.run import RunSpec
from pileus.store import Store
from pileus.training.checkpoint import Tensors
from pileus.training.network import DONOR, Problem
from pileus.training.probe import measure_precisions


def settle_precision(spec: RunSpec, problem: Problem, observer: Observer) -> RunSpec:
    """The spec with 'auto' replaced by what is faster on this machine, which the run keeps wherever it goes on."""
    if spec.precision != "auto":
        return spec
    speeds = measure_precisions(spec, problem)
    observer.say(
        f"precision {speeds.better}: bf16 is {speeds.gain:.2f} times as fast as fp32 here "
        f"({speeds.bf16_s * 1e3:.3g} and {speeds.fp32_s * 1e3:.3g} ms a microbatch of {spec.model})"
    )
    return msgspec.structs.replace(spec, precision=speeds.better)


def warn_of_slow_precision(spec: RunSpec, observer: Observer) -> None:
    if spec.precision == "bf16" and has_bf16() is False:
        observer.say("this machine has no bf16 instructions: the run goes on in bf16, and will be slow here")


def find_donor(spec: RunSpec, runs: str) -> tuple[RunSpec, Tensors | None]:
    """The spec with the version of its donor, and the donor's tensors; None where the run begins anew.

    UsageError where there is no such bundle, or another version of it is there than the spec asks for.
    """
    if spec.transfer is None:
        return spec, None
    place = find_place(spec.transfer.bundle, runs)
    manifest, tensors = read_weights(place)
    if not manifest.version.startswith(spec.transfer.version):
        raise UsageError(
            f"transfer.version={spec.transfer.version} is asked for, and {place} holds {manifest.short_version}; "
            "name another bundle, or leave transfer.version out."
        )
    transfer = msgspec.structs.replace(spec.transfer, version=manifest.version)
    return msgspec.structs.replace(spec, transfer=transfer), tensors


def keep_donor(spec: RunSpec, runs: str, store: Store) -> None:
    """Copy the donor of the spec into the run. UsageError where it has become another since it was found."""
    if spec.transfer is None:
        return
    manifest = copy_bundle(find_place(spec.transfer.bundle, runs), store, DONOR)
    if manifest.version != spec.transfer.version:
        raise UsageError(f"the bundle {spec.transfer.bundle} was replaced just now; give the command again.")
