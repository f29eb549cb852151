"""Exact products of int8 matrices in int32, by the fastest way that this machine has.

oneDNN multiplies int8 by VNNI or AMX instructions, four times as fast as float32. Older processors have instructions
that saturate sums of two products at 16 bits: so whether the products are exact is tried, not believed.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

Multiply = Callable[[Tensor, Tensor, Tensor], None]
"""Writes queries_QD @ block_DM into products_QM: int8, int8, int32. Exact for D up to 2**17."""

_FLOAT_COLUMNS = 1024
"""So many products of two int8 sum up to 2**24 at most: every partial sum is a float32."""
_PROBED = (256, 2048, 512)
"""Queries, images, values."""
_PROBES = 3
_PROBE_SEED = 20261121


def by_int8(queries_QD: Tensor, block_DM: Tensor, products_QM: Tensor) -> None:
    torch._int_mm(_plain(queries_QD), _plain(block_DM), out=products_QM)


def _plain(matrix_RC: Tensor) -> Tensor:
    """With the strides that follow from its shape: those of one row or column may be any; torch 2.13 goes by them."""
    return matrix_RC.contiguous().as_strided(matrix_RC.shape, (matrix_RC.shape[1], 1))


def by_float32(queries_QD: Tensor, block_DM: Tensor, products_QM: Tensor) -> None:
    products_QM.zero_()
    for start in range(0, queries_QD.shape[1], _FLOAT_COLUMNS):
        columns = slice(start, start + _FLOAT_COLUMNS)
        products_QM.add_((queries_QD[:, columns].float() @ block_DM[columns].float()).to(torch.int32))


@functools.cache
def fastest_exact() -> Multiply:
    """`by_int8` where it is exact and faster than `by_float32`.

    Tried once a process, on one thread as in a search, by the time that the thread is given: whatever else the machine
    does, the answer is the same. It takes some hundredths of a second.
    """
    with ThreadPoolExecutor(1, "probe", torch.set_num_threads, (1,)) as pool:
        return pool.submit(_tried).result()


def _tried() -> Multiply:
    if not is_exact(by_int8):
        return by_float32
    return min((by_int8, by_float32), key=_seconds)


def is_exact(multiply: Multiply) -> bool:
    """Tried with the extreme values, where sums of fewer bits would overflow."""
    queries_QD, block_DM, products_QM = _operands()
    try:
        multiply(queries_QD, block_DM, products_QM)
    except (RuntimeError, NotImplementedError):  # what torch raises where a build has no such kernel
        return False
    return torch.equal(products_QM.double(), queries_QD.double() @ block_DM.double())


def _seconds(multiply: Multiply) -> float:
    """Of this thread, of the best of several, after one that does not count."""
    operands = _operands()
    multiply(*operands)
    best = float("inf")
    for _ in range(_PROBES):
        started = time.thread_time()
        multiply(*operands)
        best = min(best, time.thread_time() - started)
    return best


def _operands() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(_PROBE_SEED)
    queries, images, values = _PROBED
    queries_QD, block_DM = (
        (torch.randint(0, 2, shape, generator=generator) * 255 - 128).to(torch.int8)
        for shape in ((queries, values), (values, images))
    )
    return queries_QD, block_DM, torch.empty((queries, images), dtype=torch.int32)
