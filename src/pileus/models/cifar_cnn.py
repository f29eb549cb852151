"""A net for small photographs that processors train in minutes: three pairs of convolutions behind a whitening.

The shape is that of airbench94 (Jordan, 2024, arXiv:2404.00498): 2x2 patches are whitened by a fixed layer, the first
convolution of each pair is pooled before its norm, all begin as the identity, norms learn shifts alone and learn them
fast, a max over what is left feeds the head, whose logits are scaled.
There the whitening is learnt from the images; here it is a constant. Of patches of photographs, Haar's functions of
opponent colours are all but the principal components: on CIFAR-10's training part no two of them correlate by more than
0.15, so each is divided by its spread there. 1,971,328 parameters at ten classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from pileus.models.layers import IdentityConv2d, Scale, ShiftNorm2d, StandardPixels

_WIDTHS = (64, 256, 256)
_LOGIT_SCALE = 1 / 9
_COLOURS = ((1.0, 1.0, 1.0), (1.0, 0.0, -1.0), (1.0, -2.0, 1.0))
"""All, red against blue, green against both; orthogonal, not yet of length 1."""
_HAAR = (((1.0, 1.0), (1.0, 1.0)), ((1.0, 1.0), (-1.0, -1.0)), ((1.0, -1.0), (1.0, -1.0)), ((1.0, -1.0), (-1.0, 1.0)))
_VARIANCES = ((12.58, 0.486, 0.406, 0.0680), (1.092, 0.0204, 0.0175, 0.00194), (0.223, 0.00575, 0.00523, 0.00072))
"""Of standard pixels, by colour and function."""
_EPS = 5e-4
"""Keeps the faintest component, which is mostly noise, from being raised as far as the rest."""


class Whiten(nn.Module):
    """(N, 3, H, W) to (N, 24, H-1, W-1): each component over its spread, and its negative. Nothing here is learnt."""

    def __init__(self) -> None:
        super().__init__()
        colours_DC = functional.normalize(torch.tensor(_COLOURS))
        haar_FHW = torch.tensor(_HAAR) / 2
        spreads_DF = (torch.tensor(_VARIANCES) + _EPS) ** 0.5
        filters_DFCHW = torch.einsum("dc,fhw,df->dfchw", colours_DC, haar_FHW, 1 / spreads_DF)
        filters_OCHW = filters_DFCHW.reshape(-1, 3, 2, 2)
        self.filters_OCHW: Tensor
        self.register_buffer("filters_OCHW", torch.cat([filters_OCHW, -filters_OCHW]), persistent=False)

    def forward(self, pixels_NCHW: Tensor) -> Tensor:
        return functional.conv2d(pixels_NCHW, self.filters_OCHW)


def cifar_cnn(height: int, width: int, channels: int, num_classes: int) -> nn.Module:
    """For three channels; a grey picture has no colours to whiten and is taken as it is."""
    layers: list[nn.Module] = [StandardPixels(channels)]
    given = channels
    if channels == 3:
        layers.append(Whiten())
        given = 2 * len(_COLOURS) * len(_HAAR)
    for made in _WIDTHS:
        layers += [
            IdentityConv2d(given, made),
            nn.MaxPool2d(2),
            ShiftNorm2d(made),
            nn.GELU(),
            IdentityConv2d(made, made),
            ShiftNorm2d(made),
            nn.GELU(),
        ]
        given = made
    head = nn.Linear(given, num_classes, bias=False)
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), head, Scale(_LOGIT_SCALE))
