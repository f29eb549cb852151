"""Fewer bytes for a vector that is sent: what is left out is remembered, and sent in later rounds.

Error feedback: Seide et al., 2014; Karimireddy et al., 2019. Each code has a fixed number of bytes for a given length,
so that who receives it knows what comes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pileus.spec.run import LocalSgd
from pileus.training.layout import aligned_zeros
from pileus.training.tree import Vector

Arrays = Sequence[NDArray[Any]]
_BLOCK = 256
"""Elements that share one scale in int8."""


class Code(Protocol):
    def blank(self, size: int) -> list[NDArray[Any]]:
        """Arrays of the shapes and types that `encode` gives of a vector of this size."""
        ...

    def encode(self, vector: Vector) -> list[NDArray[Any]]: ...

    def decode(self, arrays: Arrays, into: Vector) -> None: ...


def make_code(spec: LocalSgd) -> Code:
    codes: dict[str, Code] = {"none": Plain(), "bf16": Bf16(), "int8": Int8(), "top_k": TopK(spec.top_k)}
    return codes[spec.compression]


class Plain:
    """4 bytes an element."""

    def blank(self, size: int) -> list[NDArray[Any]]:
        return [np.empty(size, np.float32)]

    def encode(self, vector: Vector) -> list[NDArray[Any]]:
        return [vector]

    def decode(self, arrays: Arrays, into: Vector) -> None:
        into[:] = arrays[0]


class Bf16:
    """2 bytes an element: the upper half of a float32, rounded to nearest, ties to even."""

    def blank(self, size: int) -> list[NDArray[Any]]:
        return [np.empty(size, np.uint16)]

    def encode(self, vector: Vector) -> list[NDArray[Any]]:
        bits = vector.view(np.uint32)
        rounded = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
        return [(rounded >> np.uint32(16)).astype(np.uint16)]

    def decode(self, arrays: Arrays, into: Vector) -> None:
        np.left_shift(arrays[0].astype(np.uint32), np.uint32(16), out=into.view(np.uint32))


class Int8:
    """About 1 byte an element: whole numbers in [-127, 127] of a scale for each block (Dettmers et al., 2022)."""

    def blank(self, size: int) -> list[NDArray[Any]]:
        blocks = math.ceil(size / _BLOCK)
        return [np.empty(blocks, np.float32), np.empty(size, np.int8)]

    def encode(self, vector: Vector) -> list[NDArray[Any]]:
        blocks = _blocks(vector)
        scales = np.abs(blocks).max(axis=1) / np.float32(127)
        steps = np.divide(blocks, scales[:, None], out=np.zeros_like(blocks), where=scales[:, None] > 0)
        return [scales, np.rint(steps).astype(np.int8).reshape(-1)[: len(vector)]]

    def decode(self, arrays: Arrays, into: Vector) -> None:
        scales, steps = arrays
        into[:] = steps
        into *= np.repeat(scales, _BLOCK)[: len(into)]


class TopK:
    """8 bytes for each of the largest elements, which are a fixed part of all (Aji and Heafield, 2017)."""

    def __init__(self, part: float) -> None:
        self._part = part

    def blank(self, size: int) -> list[NDArray[Any]]:
        count = self._count(size)
        return [np.empty(count, np.uint32), np.empty(count, np.float32)]

    def encode(self, vector: Vector) -> list[NDArray[Any]]:
        largest = np.argpartition(np.abs(vector), len(vector) - self._count(len(vector)))[-self._count(len(vector)) :]
        places = np.sort(largest).astype(np.uint32)
        return [places, vector[places]]

    def decode(self, arrays: Arrays, into: Vector) -> None:
        places, values = arrays
        into[:] = 0.0
        into[places] = values

    def _count(self, size: int) -> int:
        return max(1, math.ceil(self._part * size))


class Sender:
    """One worker's end: adds what was left out before, and remembers what is left out now."""

    def __init__(self, code: Code, size: int) -> None:
        self._code = code
        self.residual = aligned_zeros(size)
        self._decoded = aligned_zeros(size)

    def encode(self, vector: Vector) -> list[NDArray[Any]]:
        """`vector` is used as scratch."""
        vector += self.residual
        arrays = self._code.encode(vector)
        self._code.decode(arrays, self._decoded)
        np.subtract(vector, self._decoded, out=self.residual)
        return arrays


def _blocks(vector: Vector) -> NDArray[np.float32]:
    """(blocks, _BLOCK), the last padded with zeros."""
    padded = np.zeros(math.ceil(len(vector) / _BLOCK) * _BLOCK, np.float32)
    padded[: len(vector)] = vector
    return padded.reshape(-1, _BLOCK)
