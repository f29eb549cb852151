"""Items of a string are judged together, single ones by themselves."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pileus.bundles import Bundle, Calibration
from pileus.bundles.export import export_onnx
from pileus.bundles.manifest import StoredFile, make_manifest
from pileus.preprocessing.lattice import Candidate, Item
from pileus.serving.predictions import found
from tests.unit.bundles.nets import describe

SURE, DOUBTED, NONE = 0, 165, 255
"""Levels of images that are taken for a one by 99.9 %, 9 % and 0.1 %; a single one is rejected below 80 %."""


class ByLevel(torch.nn.Module):
    """The lighter the image, the less a one it is."""

    def forward(self, images_NHWC: torch.Tensor) -> torch.Tensor:
        level_N1 = images_NHWC.to(torch.float32).flatten(1).mean(1, keepdim=True) / 255
        zeros_N1 = torch.zeros_like(level_N1)
        others = [zeros_N1 - 20.0] * 8
        return torch.cat([zeros_N1 - 20.0, zeros_N1, *others, 16 * (level_N1 - 0.5)], dim=1)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return knowing(ByLevel(), None)


def knowing(network: torch.nn.Module, several: str | None) -> Bundle:
    """What is none of the classes, and it may be several of them."""
    own = describe(calibration=Calibration(certain=0.95, rejected=0.8))
    description = msgspec.structs.replace(own, none="none", several=several)
    onnx = export_onnx(network, 28, 28, 1)
    return Bundle(make_manifest(description, {"model.onnx": StoredFile(sha256="", size_bytes=0)}), onnx)


def image(level: int) -> NDArray[np.uint8]:
    return np.full((28, 28, 1), level, np.uint8)


def text(bundle: Bundle, *items: tuple[int, int]) -> str:
    """Of items by (level, height), from left to right; a hyphen for what is rejected."""
    chain = [
        Candidate(place, place + 1, Item(image(level), (20 * place, 0, 15, height)))
        for place, (level, height) in enumerate(items)
    ]
    (answer,) = found(bundle, [chain]).answers
    return "".join(each.label or "-" for each in answer)


def test_what_is_doubted_alone_is_a_digit_among_digits(bundle: Bundle) -> None:
    assert text(bundle, (DOUBTED, 30)) == "-"
    assert text(bundle, (SURE, 30), (DOUBTED, 30), (SURE, 30)) == "111"


def test_a_small_mark_and_what_is_surely_none_are_rejected_among_digits(bundle: Bundle) -> None:
    assert text(bundle, (SURE, 30), (DOUBTED, 10), (SURE, 30)) == "1-1"
    assert text(bundle, (SURE, 30), (NONE, 30), (SURE, 30)) == "1-1"


def test_among_marks_a_doubted_item_is_none(bundle: Bundle) -> None:
    assert text(bundle, (DOUBTED, 30), (SURE, 30), (DOUBTED, 30)) == "-1-"


HALF = 41
"""Is taken for a one by 70 %, and for none by 30 %."""


class OneOf(torch.nn.Module):
    """One, none or several, by the level: of an image at a third of the range, none; at two thirds, several."""

    def forward(self, images_NHWC: torch.Tensor) -> torch.Tensor:
        level_N1 = images_NHWC.to(torch.float32).flatten(1).mean(1, keepdim=True) / 255
        rest = [torch.zeros_like(level_N1) - 20.0] * 9
        one, none, several = (-60 * (level_N1 - middle).abs() for middle in (0.0, 1 / 3, 2 / 3))
        return torch.cat([rest[0], one, *rest[1:], none, several], dim=1)


@pytest.mark.parametrize(("whole", "expected"), [(85, "-"), (170, "11")])
def test_what_is_none_for_sure_is_not_cut_and_what_is_several_is(whole: int, expected: str) -> None:
    """As a letter, whose halves might be ones, and as two ones that touch."""
    ways = [
        Candidate(start, stop, Item(image(level), (20 * start, 0, 15 * (stop - start), 30)))
        for start, stop, level in ((0, 1, HALF), (0, 2, whole), (1, 2, HALF))
    ]
    (answer,) = found(knowing(OneOf(), "several"), [ways]).answers
    assert "".join(each.label or "-" for each in answer) == expected


def test_images_of_one_request_are_no_string(bundle: Bundle) -> None:
    images_NHWC = np.stack([image(SURE), image(DOUBTED), image(SURE)])
    (answer,) = found(bundle, [images_NHWC]).answers
    assert [each.label for each in answer] == ["1", None, "1"]
