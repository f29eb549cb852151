"""Our flat steps against torch.optim over many steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from pileus.spec.optimizer import Adam, AdamW, Optimizer, Sgd
from pileus.training.optimizers import make_optimizer

LR = 0.05
CASES: list[tuple[Optimizer, type[torch.optim.Optimizer], dict[str, Any]]] = [
    (Sgd(momentum=0.0), torch.optim.SGD, {}),
    (Sgd(momentum=0.9), torch.optim.SGD, {"momentum": 0.9}),
    (Sgd(momentum=0.9, weight_decay=0.01), torch.optim.SGD, {"momentum": 0.9, "weight_decay": 0.01}),
    (Sgd(momentum=0.8, nesterov=True), torch.optim.SGD, {"momentum": 0.8, "nesterov": True}),
    (Adam(), torch.optim.Adam, {}),
    (Adam(weight_decay=0.1, beta1=0.8, beta2=0.99), torch.optim.Adam, {"weight_decay": 0.1, "betas": (0.8, 0.99)}),
    (AdamW(weight_decay=0.1, eps=1e-6), torch.optim.AdamW, {"weight_decay": 0.1, "eps": 1e-6}),
]


@pytest.mark.parametrize(("spec", "reference", "options"), CASES)
def test_twenty_steps_agree_with_torch(
    spec: Optimizer, reference: type[torch.optim.Optimizer], options: dict[str, Any]
) -> None:
    generator = np.random.default_rng(0)
    weights = generator.standard_normal(64).astype(np.float32)
    theirs = torch.from_numpy(weights.copy()).requires_grad_()
    optimizer = reference([theirs], lr=LR, **options)  # type: ignore[call-arg]
    ours = make_optimizer(spec, 64)
    for count in range(1, 21):
        gradient = generator.standard_normal(64).astype(np.float32)
        theirs.grad = torch.from_numpy(gradient.copy())
        optimizer.step()
        ours.step(weights, gradient, LR, count)
    np.testing.assert_allclose(weights, theirs.detach().numpy(), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("spec", [case[0] for case in CASES])
def test_any_cut_of_the_vector_gives_the_same_bits(spec: Optimizer) -> None:
    generator = np.random.default_rng(1)
    whole, gradients = generator.standard_normal(70).astype(np.float32), generator.standard_normal((5, 70))
    parts = [whole[:23].copy(), whole[23:].copy()]
    steps = [make_optimizer(spec, 70), make_optimizer(spec, 23), make_optimizer(spec, 47)]
    for count, gradient in enumerate(gradients.astype(np.float32), start=1):
        for step, weights, piece in zip(
            steps, [whole, *parts], [gradient.copy(), gradient[:23].copy(), gradient[23:].copy()], strict=True
        ):
            step.step(weights, piece, LR, count)
    assert whole.tobytes() == np.concatenate(parts).tobytes()
