"""How images become records: what a write may be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from pileus.errors import UsageError

Encode = Literal["auto", "keep", "raw", "jpeg", "png"]
Check = Literal["head", "decode"]
ENCODES: tuple[Encode, ...] = get_args(Encode)
CHECKS: tuple[Check, ...] = get_args(Check)

MIN_SHARD_BYTES = 1 << 10
MAX_SHARD_BYTES = 1 << 30
MAX_SHARDS = 100_000
MAX_SIDE = 8192


@dataclass(frozen=True, kw_only=True)
class WriteOptions:
    """UsageError for impossible values."""

    shard_size_bytes: int = 64 << 20
    """About how large a shard is; all hold as many records, give or take one."""
    num_shards: int | None = None
    """In place of a size; no more than there are samples."""
    resize: tuple[int, int] | None = None
    """(H, W) pixels; None: pictures as they are."""
    channels: Literal[1, 3] | None = None
    """None: as they are, and 3 where photographs are resized."""
    validation: float = 0.0
    """Share in [0, 1) of given training samples to move to validation."""
    encode: Encode = "auto"
    """How images are stored. A file of the format asked for that need not change is stored as it is.

    auto: JPEG as it is, all else as pixels; keep: every file as it is; raw: pixels; jpeg and png: files of that format.
    """
    quality: int | None = None
    """Of JPEG, in [1, 100], with encode="jpeg": every image is encoded anew. None: 90 for those that must be."""
    check: Check = "head"
    """What is looked at in a JPEG that is stored as it is: head and end of the file, or every pixel by decoding it."""

    def __post_init__(self) -> None:
        if not MIN_SHARD_BYTES <= self.shard_size_bytes <= MAX_SHARD_BYTES:
            raise UsageError(f"a shard has {MIN_SHARD_BYTES} to {MAX_SHARD_BYTES} bytes (got {self.shard_size_bytes}).")
        if self.num_shards is not None and not 1 <= self.num_shards <= MAX_SHARDS:
            raise UsageError(f"a set has 1 to {MAX_SHARDS} shards (got {self.num_shards}).")
        if self.resize is not None and not all(1 <= side <= MAX_SIDE for side in self.resize):
            raise UsageError(f"pictures can be resized to 1 to {MAX_SIDE} pixels a side (got {self.resize}).")
        if self.channels not in (None, 1, 3):
            raise UsageError(f"channels must be 1 (grey) or 3 (colour) (got {self.channels}).")
        if not 0 <= self.validation < 1:
            raise UsageError(f"the validation share must be in [0, 1) (got {self.validation}).")
        self._check_encoding()

    def _check_encoding(self) -> None:
        if self.encode not in ENCODES:
            raise UsageError(f"encode must be one of {', '.join(ENCODES)} (got {self.encode!r}).")
        if self.check not in CHECKS:
            raise UsageError(f"check must be one of {', '.join(CHECKS)} (got {self.check!r}).")
        if self.encode == "keep" and (self.resize or self.channels):
            raise UsageError("encode=keep leaves files as they are (got resize or channels); choose raw, jpeg or png.")
        if self.quality is not None and (self.encode != "jpeg" or not 1 <= self.quality <= 100):
            raise UsageError(f"quality is 1 to 100 and goes with encode=jpeg (got {self.quality}, {self.encode}).")
