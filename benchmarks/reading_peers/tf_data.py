"""tf.data over Pileus's own shards, which are TFRecord files of tf.train.Example; it checks their CRC as well.

`decode` "fused" decodes only the blocks that the rectangle needs; "whole" decodes all and cuts. `resize` "crop" cuts,
resizes and mirrors in one op.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

from reading_peers.job import SIDE, Batches, Job, Task, run
from reading_peers.shapes import AREA, ASPECT, TRIES


def window(content: Any, task: Task) -> Any:
    """Top, left, height, width."""
    shape = tf.io.extract_jpeg_shape(content)
    if task == "train":
        begin, size, _ = tf.image.sample_distorted_bounding_box(
            shape,
            bounding_boxes=tf.zeros([1, 0, 4]),
            area_range=AREA,
            aspect_ratio_range=ASPECT,
            max_attempts=TRIES,
            min_object_covered=0.0,
            use_image_if_no_bounding_boxes=True,
        )
        return tf.concat([begin[:2], size[:2]], 0)
    side = tf.reduce_min(shape[:2])
    return tf.stack([(shape[0] - side) // 2, (shape[1] - side) // 2, side, side])


def picture(content: Any, task: Task, settings: dict[str, Any]) -> Any:
    """(H, W, C) uint8."""
    how = {"channels": 3, "dct_method": settings["dct"], "fancy_upscaling": settings["dct"] == "INTEGER_ACCURATE"}
    box = window(content, task)
    if settings["decode"] == "fused":
        image = tf.io.decode_and_crop_jpeg(content, box, **how)
    else:
        image = tf.image.crop_to_bounding_box(tf.io.decode_jpeg(content, **how), *tf.unstack(box))
    flips = tf.random.uniform([]) < 0.5 if task == "train" else tf.constant(False)
    if settings["resize"] == "crop":
        ends = tf.where(flips, [[0.0, 1.0, 1.0, 0.0]], [[0.0, 0.0, 1.0, 1.0]])
        return tf.cast(tf.image.crop_and_resize(image[None], ends, [0], (SIDE, SIDE))[0], tf.uint8)
    image = tf.cast(tf.image.resize(image, (SIDE, SIDE)), tf.uint8)
    return tf.cond(flips, lambda: image[:, ::-1], lambda: image)


def batches(job: Job) -> Batches:
    settings = job.settings
    features = {
        "image/encoded": tf.io.FixedLenFeature([], tf.string),
        "image/class/label": tf.io.FixedLenFeature([], tf.int64),
    }

    def sample(record: Any) -> Any:
        parsed = tf.io.parse_single_example(record, features)
        return picture(parsed["image/encoded"], job.task, settings), parsed["image/class/label"]

    shards = sorted(str(path) for path in Path(job.data, "records").glob("*.tfrecord"))
    options = tf.data.Options()
    options.deterministic = False
    options.autotune.enabled = settings["parallel"] == -1
    options.threading.private_threadpool_size = settings["threads"]
    options.threading.max_intra_op_parallelism = 1
    dataset = (
        tf.data.Dataset.from_tensor_slices(shards)
        .shuffle(len(shards))
        .interleave(tf.data.TFRecordDataset, cycle_length=len(shards), block_length=16)
        .shuffle(1024)
        .repeat()
        .map(sample, num_parallel_calls=settings["parallel"])
        .batch(job.batch_size, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE if settings["parallel"] == -1 else 2)
        .with_options(options)
    )
    return dataset.as_numpy_iterator()  # type: ignore[no-any-return]


if __name__ == "__main__":
    run(batches, ["tensorflow-cpu"])
