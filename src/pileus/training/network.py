"""The network that a run begins with: seeded weights, or the trunk of a trained one under a head, seeded or its own.

The donor's bundle is copied into the run when it is begun, so that the run depends on no place but its own.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import nn

from pileus.bundles.weights import read_weights
from pileus.errors import Damaged
from pileus.models.layers import average_mirrored
from pileus.models.registry import build
from pileus.models.transfer import build_from
from pileus.spec.run import RunSpec
from pileus.training.checkpoint import Tensors

DONOR = "donor"
"""Folder of a run that holds the bundle its trunk is from."""


class Problem(NamedTuple):
    """The shape of what is learnt, and what the network begins with."""

    shape_HWC: tuple[int, int, int]
    num_classes: int
    donor: Tensors | None = None
    """Tensors of a trained network by name, of which the trunk is taken; None: begin anew."""


def first_network(spec: RunSpec, problem: Problem) -> nn.Module:
    """SpecError where the donor's trunk is another, or images are too small."""
    shape_HWC, num_classes, donor = problem
    if spec.transfer is None or donor is None:
        return empty_network(spec, shape_HWC, num_classes)
    transfer = spec.transfer
    network = build_from(
        spec.model, shape_HWC, num_classes, spec.seed, donor, train=transfer.train, keep_head=transfer.head == "kept"
    )
    return _answering(spec, network)


def empty_network(spec: RunSpec, shape_HWC: tuple[int, int, int], num_classes: int) -> nn.Module:
    """As the run's, but for what it has learnt."""
    return _answering(spec, build(spec.model, shape_HWC, num_classes, spec.seed))


def _answering(spec: RunSpec, network: nn.Module) -> nn.Module:
    if spec.average_mirrored:
        average_mirrored(network)
    return network


def read_donor(spec: RunSpec, run_uri: str) -> Tensors | None:
    """From the run's own copy; None for a run that has no donor. Damaged where it is not that of the spec."""
    if spec.transfer is None:
        return None
    manifest, tensors = read_weights(f"{run_uri}/{DONOR}")
    if manifest.version != spec.transfer.version:
        raise Damaged(
            f"{run_uri}/{DONOR} is bundle {manifest.short_version}, and the run began with "
            f"{spec.transfer.version[:16]}; restore it from a copy."
        )
    return tensors
