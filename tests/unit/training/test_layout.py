"""All parameters in one vector."""

from __future__ import annotations

import numpy as np
import torch

from pileus.models.registry import build
from pileus.training.layout import Layout, adopt, aligned_zeros, gather


def test_each_parameter_starts_on_a_line_of_the_cache() -> None:
    layout = Layout([("a", (3,)), ("b", (4, 5)), ("c", ())])
    assert [(slot.start, slot.stop) for slot in layout.slots] == [(0, 3), (16, 36), (48, 49)]
    assert layout.size == 64
    assert aligned_zeros(7).ctypes.data % 64 == 0


def test_adopted_networks_share_the_vector() -> None:
    one, other = build("mnist_cnn", (10, 10, 1), 3, 0), build("mnist_cnn", (10, 10, 1), 3, 1)
    layout = Layout.of(one)
    flat = gather(one, layout)
    for network in (one, other):
        adopt(network, layout, torch.from_numpy(flat))
    images = torch.zeros((2, 10, 10, 1), dtype=torch.uint8)
    assert torch.equal(one(images), other(images))
    flat += 1
    assert torch.equal(one(images), other(images))
    assert next(one.parameters()).data_ptr() == flat.ctypes.data


def test_the_fingerprint_tells_bits_names_and_shapes_apart() -> None:
    layout, renamed, reshaped = Layout([("a", (4,))]), Layout([("b", (4,))]), Layout([("a", (2, 2))])
    flat = aligned_zeros(16)
    negative_zero = flat.copy()
    negative_zero[0] = -0.0
    padding = flat.copy()
    padding[9] = 1
    assert layout.fingerprint(flat) == layout.fingerprint(padding)
    told = {one.fingerprint(vector) for one, vector in [(layout, flat), (renamed, flat), (reshaped, flat)]}
    assert len(told | {layout.fingerprint(negative_zero)}) == 4
    np.testing.assert_array_equal(layout.named_arrays(flat, "w/")["w/a"], np.zeros(4))
