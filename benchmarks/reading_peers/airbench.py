"""The whole-epoch trick of airbench (github.com/KellerJordan/cifar10-airbench), on the CPU.

What can be done once is done once: normalise, mirror half of the images, pad by reflection. Each epoch then crops all
images, row shifts first and column shifts after, one masked copy for each shift; mirrors all every other epoch; and
batches are gathered from the result. `dtype` float16 is what it has on a GPU; uint8 leaves normalising to the
model, as the other readers here do.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from reading_peers.job import PADDING, Batches, Job, run


def padded(images_NHWC: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """(N, C, H + 2 PADDING, W + 2 PADDING), half of them mirrored."""
    images_NCHW = images_NHWC.permute(0, 3, 1, 2)
    if dtype.is_floating_point:
        floats_NCHW = images_NCHW.float() / 255
        mean_C11 = floats_NCHW.mean((0, 2, 3))[:, None, None]
        images_NCHW = (floats_NCHW - mean_C11) / floats_NCHW.std((0, 2, 3))[:, None, None]
    mirrored_N = torch.rand(len(images_NCHW), 1, 1, 1) < 0.5
    images_NCHW = torch.where(mirrored_N, images_NCHW.flip(-1), images_NCHW)
    wide_NCHW = functional.pad(images_NCHW.float(), (PADDING,) * 4, "reflect")
    return wide_NCHW.to(dtype).contiguous()


def cropped(wide_NCHW: torch.Tensor) -> torch.Tensor:
    count, channels, height, width = wide_NCHW.shape
    side = height - 2 * PADDING
    down_N, across_N = torch.randint(0, 2 * PADDING + 1, (2, count))
    rows_NCHW = torch.empty((count, channels, side, width), dtype=wide_NCHW.dtype)
    images_NCHW = torch.empty((count, channels, side, side), dtype=wide_NCHW.dtype)
    for shift in range(2 * PADDING + 1):
        chosen_N = down_N == shift
        rows_NCHW[chosen_N] = wide_NCHW[chosen_N, :, shift : shift + side]
    for shift in range(2 * PADDING + 1):
        chosen_N = across_N == shift
        images_NCHW[chosen_N] = rows_NCHW[chosen_N, :, :, shift : shift + side]
    return images_NCHW


def batches(job: Job) -> Batches:
    torch.set_num_threads(job.settings["threads"])
    images_NHWC = torch.from_numpy(np.load(Path(job.data) / f"{job.task}-images.npy"))
    labels_N = torch.from_numpy(np.load(Path(job.data) / f"{job.task}-labels.npy"))
    wide_NCHW = padded(images_NHWC, getattr(torch, job.settings["dtype"]))
    epoch = 0
    while True:
        images_NCHW = cropped(wide_NCHW)
        if epoch % 2:
            images_NCHW = images_NCHW.flip(-1)
        order_N = torch.randperm(len(images_NCHW))
        for start in range(0, len(order_N) - job.batch_size + 1, job.batch_size):
            rows_B = order_N[start : start + job.batch_size]
            yield images_NCHW[rows_B], labels_N[rows_B]
        epoch += 1


if __name__ == "__main__":
    run(batches, ["torch"])
