"""What a code leaves out is bounded, and with error feedback nothing is lost for good."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pileus.spec.run import LocalSgd
from pileus.training.compression import Bf16, Code, Int8, Plain, Sender, TopK, make_code

SIZE = 1000
BYTES = {"none": 4.0, "bf16": 2.0, "int8": 1.016, "top_k": 0.8}
CODES: list[Code] = [Plain(), Bf16(), Int8(), TopK(0.1)]


def drawn(seed: int = 0) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.random.default_rng(seed).normal(size=SIZE).astype(np.float32)


@pytest.mark.parametrize("name", BYTES)
def test_a_code_has_the_bytes_that_it_promises(name: str) -> None:
    code = make_code(LocalSgd(compression=name, top_k=0.1))  # type: ignore[arg-type]  # from the table above
    arrays, blank = code.encode(drawn()), code.blank(SIZE)
    assert [(array.shape, array.dtype) for array in arrays] == [(array.shape, array.dtype) for array in blank]
    assert sum(array.nbytes for array in arrays) / SIZE == pytest.approx(BYTES[name], rel=0.01)


def test_bf16_is_that_of_torch() -> None:
    vector, back = drawn(), np.empty(SIZE, np.float32)
    Bf16().decode(Bf16().encode(vector), back)
    assert back.tolist() == torch.from_numpy(vector).to(torch.bfloat16).to(torch.float32).tolist()


def test_int8_is_within_half_a_step_of_its_block() -> None:
    vector, back = drawn(), np.empty(SIZE, np.float32)
    vector[256:512] = 0.0
    Int8().decode(Int8().encode(vector), back)
    for start in range(0, SIZE, 256):
        block = slice(start, start + 256)
        assert np.abs(back[block] - vector[block]).max() <= np.abs(vector[block]).max() / 127 / 2 * 1.001
    assert not back[256:512].any()


def test_top_k_sends_the_largest() -> None:
    vector, back = drawn(), np.empty(SIZE, np.float32)
    TopK(0.1).decode(TopK(0.1).encode(vector), back)
    kept = np.abs(vector)[back != 0]
    assert len(kept) == 100
    assert kept.min() >= np.abs(vector)[back == 0].max()
    assert (back[back != 0] == vector[back != 0]).all()


@pytest.mark.parametrize("code", CODES, ids=lambda code: type(code).__name__)
def test_what_was_sent_and_what_is_left_is_what_was_given(code: Code) -> None:
    """The sum of all that is decoded, and the residual, is the sum of all vectors, to rounding."""
    sender, sent, given = Sender(code, SIZE), np.zeros(SIZE, np.float64), np.zeros(SIZE, np.float64)
    decoded = np.empty(SIZE, np.float32)
    for seed in range(20):
        vector = drawn(seed)
        given += vector
        code.decode(sender.encode(vector), decoded)
        sent += decoded
    assert np.abs(sent + sender.residual - given).max() < 1e-4
    assert np.abs(sender.residual).max() < np.abs(given).max() * 10
