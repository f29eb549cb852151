"""What a run settles once, before it is written: its device, its arithmetic's precision, the bundle it begins with."""

from __future__ import annotations

from itertools import zip_longest
from typing import NamedTuple

import msgspec

from pileus.bundles.copy import copy_bundle
from pileus.bundles.load import find_place
from pileus.bundles.weights import read_weights
from pileus.errors import SpecError, UsageError
from pileus.machine import has_bf16
from pileus.operations.observer import Observer
from pileus.spec.run import RunSpec
from pileus.store import Store
from pileus.training.checkpoint import Tensors
from pileus.training.device import gpu_has_bf16, settled_device
from pileus.training.network import DONOR, Problem
from pileus.training.probe import measure_precisions


def settle_device(spec: RunSpec) -> RunSpec:
    """The spec with 'auto' replaced by what this machine has. MissingService for a GPU where it has none.

    Of the machines of a cluster that is there nothing is known here: they are told by name, and each asks itself.
    """
    _check_named(spec, "device", spec.device, "cpu or cuda")
    if spec.engine.address is not None:
        return spec
    return msgspec.structs.replace(spec, device=settled_device(spec.device))


def settle_precision(spec: RunSpec, problem: Problem, observer: Observer) -> RunSpec:
    """The spec with 'auto' replaced by what is faster on this machine, which the run keeps wherever it goes on."""
    _check_named(spec, "precision", spec.precision, "fp32 or bf16")
    if spec.precision != "auto":
        return spec
    if spec.device == "cuda":
        precision = "bf16" if gpu_has_bf16() else "fp32"
        observer.say(f"precision {precision}: this GPU has {'' if gpu_has_bf16() else 'no '}bf16 instructions")
        return msgspec.structs.replace(spec, precision=precision)
    speeds = measure_precisions(spec, problem)
    observer.say(
        f"precision {speeds.better}: bf16 is {speeds.gain:.2f} times as fast as fp32 here "
        f"({speeds.bf16_s * 1e3:.3g} and {speeds.fp32_s * 1e3:.3g} ms a microbatch of {spec.model})"
    )
    return msgspec.structs.replace(spec, precision=speeds.better)


def warn_of_slow_precision(spec: RunSpec, observer: Observer) -> None:
    if spec.precision != "bf16" or spec.engine.address is not None:
        return
    if (gpu_has_bf16() if spec.device == "cuda" else has_bf16()) is False:
        observer.say("this machine has no bf16 instructions: the run goes on in bf16, and will be slow here")


class Donor(NamedTuple):
    labels: tuple[str, ...]
    """What its logits are for."""
    tensors: Tensors


def find_donor(spec: RunSpec, runs: str) -> tuple[RunSpec, Donor | None]:
    """The spec with the version of its donor, and the donor; None where the run begins anew.

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
    return msgspec.structs.replace(spec, transfer=transfer), Donor(manifest.labels, tensors)


def check_head(spec: RunSpec, donor: Donor | None, classes: tuple[str, ...]) -> None:
    """SpecError where a head is to be kept that was for other classes than those of the run."""
    if donor is None or spec.transfer is None or spec.transfer.head == "new" or donor.labels == classes:
        return
    here, there = next(pair for pair in zip_longest(classes, donor.labels) if pair[0] != pair[1])
    raise SpecError(
        f"transfer.head=kept is for the same classes in the same order (got {here!r} where {spec.transfer.bundle} has "
        f"{there!r}); leave it out for a new head."
    )


def keep_donor(spec: RunSpec, runs: str, store: Store) -> None:
    """Copy the donor of the spec into the run. UsageError where it has become another since it was found."""
    if spec.transfer is None:
        return
    manifest = copy_bundle(find_place(spec.transfer.bundle, runs), store, DONOR)
    if manifest.version != spec.transfer.version:
        raise UsageError(f"the bundle {spec.transfer.bundle} was replaced just now; give the command again.")


def _check_named(spec: RunSpec, name: str, value: str, ways: str) -> None:
    if value == "auto" and spec.engine.address is not None:
        raise UsageError(
            f"{name}=auto asks this machine, and the workers live on others, of {spec.engine.address}; "
            f"name it: {name}={ways}."
        )
