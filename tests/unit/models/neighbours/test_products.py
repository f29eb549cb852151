"""Every product is exact, and a way of multiplying that is not is found out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pileus.models.neighbours.products import Multiply, by_float32, by_int8, fastest_exact, is_exact

WAYS = [by_float32, *([by_int8] if is_exact(by_int8) else [])]


def extremes(rows: int, values: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.randint(0, 2, (rows, values), generator=generator) * 255 - 128).to(torch.int8)


@pytest.mark.parametrize("multiply", WAYS)
@pytest.mark.parametrize("values", [0, 1, 3, 717, 1024, 1025, 3072])
def test_products_are_exact(multiply: Multiply, values: int) -> None:
    queries_QD, block_DM = extremes(5, values, 1), extremes(values, 64, 2)
    queries_QD[0] = block_DM[:, 0] = -128
    products_QM = torch.full((5, 64), 7, dtype=torch.int32)
    multiply(queries_QD, block_DM, products_QM)
    assert torch.equal(products_QM.long(), queries_QD.long() @ block_DM.long())
    assert products_QM[0, 0] == 128 * 128 * values


@pytest.mark.parametrize("multiply", WAYS)
def test_a_single_row_may_have_any_strides(multiply: Multiply) -> None:
    """As one has that was transposed."""
    queries_QD, block_DM = extremes(5, 1, 1).t(), extremes(5, 64, 2)
    assert queries_QD.stride() == (1, 1)
    products_QM = torch.full((1, 64), 7, dtype=torch.int32)
    multiply(queries_QD, block_DM, products_QM)
    assert torch.equal(products_QM.long(), queries_QD.long() @ block_DM.long())


def test_sums_of_sixteen_bits_are_found_out() -> None:
    """As instructions before VNNI have them."""

    def saturating(queries_QD: Tensor, block_DM: Tensor, products_QM: Tensor) -> None:
        terms_QMD = queries_QD[:, None].long() * block_DM.t().long()
        pairs_QMD = terms_QMD[:, :, ::2] + terms_QMD[:, :, 1::2]
        products_QM.copy_(pairs_QMD.clamp(-(2**15), 2**15 - 1).sum(2))

    assert not is_exact(saturating)


def test_a_build_without_the_kernel_is_found_out() -> None:
    def absent(queries_QD: Tensor, block_DM: Tensor, products_QM: Tensor) -> None:
        raise NotImplementedError("no such kernel")

    assert not is_exact(absent)


def test_what_is_chosen_is_exact() -> None:
    assert is_exact(fastest_exact())
