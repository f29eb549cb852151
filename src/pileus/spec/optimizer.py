"""The optimisers: each owns its settings. `name` chooses."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from pileus.spec.values import Spec

Positive = Annotated[float, Meta(gt=0.0)]
NonNegative = Annotated[float, Meta(ge=0.0)]
Decay = Annotated[float, Meta(ge=0.0, lt=1.0)]


class Sgd(Spec, tag_field="name", tag="sgd", frozen=True, kw_only=True):
    lr: Positive = 0.05
    momentum: Decay = 0.9
    nesterov: bool = False
    weight_decay: NonNegative = 0.0
    """Added to the gradient (L2), as the field's SGD does."""


class Adam(Spec, tag_field="name", tag="adam", frozen=True, kw_only=True):
    lr: Positive = 1e-3
    beta1: Decay = 0.9
    beta2: Decay = 0.999
    eps: Positive = 1e-8
    weight_decay: NonNegative = 0.0
    """Added to the gradient (L2)."""


class AdamW(Spec, tag_field="name", tag="adamw", frozen=True, kw_only=True):
    lr: Positive = 1e-3
    beta1: Decay = 0.9
    beta2: Decay = 0.999
    eps: Positive = 1e-8
    weight_decay: NonNegative = 1e-2
    """Decoupled from the gradient (Loshchilov and Hutter, 2019)."""


Optimizer = Sgd | Adam | AdamW
