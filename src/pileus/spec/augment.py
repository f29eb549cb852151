"""What augmentation may do to a training image. Which transforms follow which is fixed: data/transforms/pipeline.py."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from pileus.errors import SpecError
from pileus.spec.values import Spec

Part = Annotated[float, Meta(ge=0.0, le=0.5)]
Change = Annotated[float, Meta(ge=0.0, le=1.0)]
Probability = Annotated[float, Meta(ge=0.0, le=1.0)]
Area = Annotated[float, Meta(gt=0.0, le=1.0)]
Alpha = Annotated[float, Meta(ge=0.1, le=1.0)]


class PadCrop(Spec, tag_field="name", tag="pad", frozen=True, kw_only=True):
    """Widen the image on all sides, then cut its own size out at a place drawn evenly."""

    padding: Annotated[int, Meta(ge=1, le=128)] = 4
    """Pixels on each side; below the image's own height and width."""
    fill: Literal["zero", "reflect"] = "zero"
    """'zero': black; 'reflect': mirrored about the outermost pixels, which are not repeated."""


class ResizedCrop(Spec, tag_field="name", tag="resized", frozen=True, kw_only=True):
    """Cut a rectangle out and enlarge it to the image's own size, bilinear."""

    area_min: Area = 0.08
    """Least part of the image's area; the part is drawn evenly from [area_min, area_max]."""
    area_max: Area = 1.0
    aspect: Annotated[float, Meta(ge=1.0, le=10.0)] = 4 / 3
    """Width by height, in pixels, is drawn from [1 / aspect, aspect]. A side longer than the image's is cut to it."""

    def __post_init__(self) -> None:
        if self.area_min > self.area_max:
            raise SpecError(
                f"augment.crop.area_min must be at most area_max (got area_min={self.area_min}, "
                f"area_max={self.area_max}); lower area_min."
            )


class Mixup(Spec, tag_field="name", tag="mixup", frozen=True, kw_only=True):
    """Each sample becomes a weighted mean of itself and its partner (Zhang et al., ICLR 2018)."""

    alpha: Alpha = 0.2
    """The weight is drawn from Beta(alpha, alpha): 1 is even; towards 0 nearly all of one sample and little of the
    other."""
    probability: Probability = 1.0
    """That a sample is mixed."""


class Cutmix(Spec, tag_field="name", tag="cutmix", frozen=True, kw_only=True):
    """A rectangle of each sample becomes that of its partner (Yun et al., ICCV 2019)."""

    alpha: Alpha = 1.0
    """The part of the area that stays is drawn from Beta(alpha, alpha), before the rectangle is cut at the border."""
    probability: Probability = 1.0
    """That a sample is mixed."""


Crop = PadCrop | ResizedCrop
Mix = Mixup | Cutmix


class Augment(Spec, frozen=True, kw_only=True):
    """A bound b means that the amount for a sample is drawn evenly from [-b, b]. By default nothing is done."""

    flip: Probability = 0.0
    """Probability of a left-right mirror image. No recipe for handwriting has it: a mirrored digit is no digit."""
    crop: Crop | None = None
    """Which part of the image is seen; None: all."""
    rotate_deg: Annotated[float, Meta(ge=0.0, le=45.0)] = 0.0
    """Bound, degrees."""
    scale: Part = 0.0
    """Bound on the relative change of height and of width, drawn apart."""
    shear: Part = 0.0
    """Bound on the slant: horizontal shift per unit of height."""
    shift: Part = 0.0
    """Bound, part of the image's side; down and across drawn apart."""
    warp: Annotated[float, Meta(ge=0.0, le=0.25)] = 0.0
    """Bound on the move of each point of a grid of 5 x 5, part of the image's side; what lies between moves along."""
    thickness: Change = 0.0
    """Bound on how far lines of light on dark become thicker or thinner: 1 is a pixel on each side."""
    blur: Change = 0.0
    """Bound on the part that a Gaussian of one pixel has in the image; drawn from [0, b]."""
    brightness: Change = 0.0
    """Bound on the relative change of every value."""
    contrast: Change = 0.0
    """Bound on the relative change of every value's distance from the image's mean."""
    saturation: Change = 0.0
    """Bound on the relative change of every value's distance from its pixel's grey; images of three channels only."""
    cutout: Annotated[int, Meta(ge=0, le=1024)] = 0
    """Side in pixels of a black square about a pixel drawn evenly, cut at the border; below the image's own sides."""
    mix: Mix | None = None
    """How samples of a microbatch are mixed in pairs, and their labels with them; None: not at all."""

    @property
    def is_affine(self) -> bool:
        """Whether images are rotated, scaled, sheared or shifted."""
        return bool(self.rotate_deg or self.scale or self.shear or self.shift)

    @property
    def is_colour(self) -> bool:
        """Whether brightness, contrast or saturation changes."""
        return bool(self.brightness or self.contrast or self.saturation)

    @property
    def changes_images(self) -> bool:
        """Whether there is anything to do but mixing."""
        return bool(self.flip) or self.changes_more_than_sides

    @property
    def changes_more_than_sides(self) -> bool:
        """Whether there is anything to do but mirroring and mixing."""
        return bool(
            self.crop or self.is_affine or self.warp or self.thickness or self.blur or self.is_colour or self.cutout
        )

    def check(self, height: int, width: int, channels: int) -> None:
        """SpecError where images of this shape cannot be augmented so."""
        side = min(height, width)
        padding = self.crop.padding if isinstance(self.crop, PadCrop) else 0
        for name, pixels in (("crop.padding", padding), ("cutout", self.cutout)):
            if pixels >= side:
                raise SpecError(
                    f"augment.{name} must be below the image's shorter side "
                    f"(got {pixels}, images of {height}x{width} pixels); lower it."
                )
        if self.saturation and channels != 3:
            raise SpecError(
                f"augment.saturation needs images of three channels (got {channels}); "
                "set augment.saturation=0, or write the data with --channels 3."
            )
