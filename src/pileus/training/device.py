"""Where a worker's network computes: on the processor, or on a GPU.

The state of a worker, its sums and its optimiser lie in the host's memory wherever the network computes. So strategies,
checkpoints, marks and averages know of no device: a network on a GPU has a copy of the state there, which is renewed
before leaves are computed, and what a leaf gives comes back in one piece.
"""

from __future__ import annotations

import hashlib
import os
from typing import Literal

import numpy as np
import torch
import torch.utils.deterministic
from numpy.typing import NDArray

from pileus.errors import MissingService, UsageError
from pileus.spec.run import RunSpec
from pileus.training.layout import aligned_zeros
from pileus.training.tree import Vector

_BF16_CAPABILITY = (8, 0)
"""Of NVIDIA's GPUs, from which on bfloat16 is multiplied by instructions of its own."""


class Device:
    """`is_apart`: the network's memory is not the host's, and what it reads and gives is copied."""

    def __init__(self, place: torch.device, *, is_apart: bool) -> None:
        self.place = place
        self.is_apart = is_apart

    def num_lanes(self, wanted: int) -> int:
        """One where the network is apart: kernels of several would stand in line for the same GPU."""
        return 1 if self.is_apart else wanted

    def vector(self, size: int) -> Vector:
        """A zeroed vector of the host, such that copies to and from the device are fast."""
        if self.place.type != "cuda":
            return aligned_zeros(size)
        pinned: Vector = torch.zeros(size, pin_memory=True).numpy()
        return pinned

    def put(self, array: NDArray[np.generic]) -> torch.Tensor:
        """An array of the host for the network to read; of a GPU the copy may still be under way, in its turn."""
        tensor = torch.from_numpy(array)
        if self.place.type != "cuda":
            return tensor
        return tensor.pin_memory().to(self.place, non_blocking=True)

    @property
    def word(self) -> int:
        """Of a GPU: the same for two workers that share it, and for no others of any host."""
        uuid = torch.cuda.get_device_properties(self.place).uuid
        return int.from_bytes(hashlib.sha256(str(uuid).encode()).digest()[:7])


HOST = Device(torch.device("cpu"), is_apart=False)


def open_device(spec: RunSpec, local_rank: int) -> Device:
    """The device of a member of a gang, for whose process it also says how to compute; several may share a GPU.

    MissingService where the spec asks for a GPU and this host has none.
    """
    if settled_device(spec.device) == "cpu":
        return HOST
    place = torch.device("cuda", local_rank % torch.cuda.device_count())
    torch.cuda.set_device(place)
    _compute_alike(is_free=spec.strategy_kind == "all_reduce (fast)")
    return Device(place, is_apart=True)


def _compute_alike(*, is_free: bool) -> None:
    """Have this process's GPU give the same bits for the same microbatch each time; `is_free`: need not be.

    Torch warns, and does not refuse, where it knows no deterministic kernel: of our layers it says so of maxima over
    whole pictures alone, whose windows do not overlap, so that nothing is added in an order that varies.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read by cuBLAS as it starts
    torch.use_deterministic_algorithms(not is_free, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a property of the module
    torch.backends.cudnn.deterministic = not is_free
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def settled_device(name: Literal["cpu", "cuda", "auto"]) -> Literal["cpu", "cuda"]:
    """'auto' as what this host has. MissingService for a GPU where there is none."""
    has_gpu = name != "cpu" and torch.cuda.is_available()
    if name == "cuda" and not has_gpu:
        why = "finds none here" if torch.version.cuda else "is built for processors alone"
        raise MissingService(
            f"device=cuda needs a GPU, and torch {torch.__version__} {why}; set device=cpu, or see `pileus doctor`."
        )
    return "cuda" if has_gpu else "cpu"


def gpu_has_bf16() -> bool:
    """Of the first GPU of this host; there must be one."""
    return torch.cuda.get_device_capability(0) >= _BF16_CAPABILITY


def explained(error: Exception, spec: RunSpec) -> Exception:
    """The error itself, or, of a GPU whose memory is full, one that tells the way out."""
    if not isinstance(error, torch.OutOfMemoryError):
        return error
    in_one_piece = spec.strategy_kind == "all_reduce (fast)"
    got = f"batch_size={spec.batch_size}" if in_one_piece else f"microbatch_size={spec.microbatch_size}"
    piece = "a worker's share of a batch" if in_one_piece else "a microbatch"
    return UsageError(
        f"the GPU's memory does not hold {piece} (got {got} of {spec.model}, workers={spec.workers}); "
        f"lower {got.partition('=')[0]}, or share the GPU among fewer workers."
    )
