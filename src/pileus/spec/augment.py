"""What augmentation may do to a training image."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from pileus.spec.values import Spec

Part = Annotated[float, Meta(ge=0.0, le=0.5)]


class Augment(Spec, frozen=True, kw_only=True):
    """Each value is a bound: the amount for a sample is drawn evenly from [-bound, bound]. All 0: no augmentation."""

    rotate_deg: Annotated[float, Meta(ge=0.0, le=45.0)] = 0.0
    scale: Part = 0.0
    """Relative change of height and of width, drawn apart."""
    shear: Part = 0.0
    """Slant: horizontal shift per unit of height."""
    shift: Part = 0.0
    """Part of the image's side, down and across drawn apart."""

    @property
    def is_identity(self) -> bool:
        return self.rotate_deg == self.scale == self.shear == self.shift == 0.0
