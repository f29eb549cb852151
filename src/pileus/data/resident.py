"""Whole splits in memory: what training reads from, where it fits."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pileus.data.decode import decode
from pileus.errors import UsageError
from pileus.records import RecordSet


def load_images(records: RecordSet, positions: ArrayLike) -> NDArray[np.uint8]:
    """(n, H, W, C) uint8 in the order asked for, picture files decoded. UsageError where shapes vary."""
    if records.shape is None:
        raise UsageError(
            f"images of {records.uri} vary in size, and a model takes one; "
            "write them with one: pileus data write SOURCE DEST --resize HxW --channels 3"
        )
    if records.all_raw:
        return records.images(positions)
    channels: Literal[1, 3] = 1 if records.shape[2] == 1 else 3
    wanted = np.asarray(positions, np.int64)
    images_NHWC = np.empty((len(wanted), *records.shape), np.uint8)
    for row, content in records.contents(wanted):
        position = int(wanted[row])
        if records.format(position) == "raw":
            images_NHWC[row] = np.frombuffer(content, np.uint8).reshape(records.shape)
        else:
            name = f"{records.id(position)} of {records.uri}"
            images_NHWC[row] = decode(content, name, channels=channels)
    return images_NHWC
