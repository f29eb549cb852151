"""The constant whitening has photographs' patches come out about as wide in every direction."""

from __future__ import annotations

import torch

from pileus.models.cifar_cnn import Whiten


def test_components_are_orthogonal_and_come_with_their_negatives() -> None:
    filters_OF = Whiten().filters_OCHW.reshape(24, 12)
    assert torch.equal(filters_OF[12:], -filters_OF[:12])
    gram = filters_OF[:12] @ filters_OF[:12].T
    off_diagonal = gram - torch.diag(gram.diagonal())
    assert off_diagonal.abs().max() < 1e-4 * gram.diagonal().max()


def test_a_flat_colour_moves_the_plain_components_alone() -> None:
    answer_NOHW = Whiten()(torch.ones(1, 3, 4, 4))
    plain = answer_NOHW[0, [0, 12]]
    assert (plain.abs() > 0.1).all()
    rest = [index for index in range(24) if index not in (0, 12)]
    assert answer_NOHW[0, rest].abs().max() < 1e-4


def test_nothing_of_it_is_learnt_or_saved() -> None:
    layer = Whiten()
    assert list(layer.parameters()) == []
    assert layer.state_dict() == {}
