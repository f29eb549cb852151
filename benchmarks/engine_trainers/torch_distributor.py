"""Spark's TorchDistributor: `python -m engine_trainers.torch_distributor SETTINGS`."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import torch.distributed as dist
from pyspark.ml.torch.distributor import TorchDistributor
from pyspark.sql import SparkSession

from engine_trainers.loop import train_in_group


def work(settings: dict[str, Any]) -> None:
    dist.init_process_group("gloo")
    train_in_group(settings, dist.get_rank())
    dist.destroy_process_group()


def main() -> None:
    settings = json.loads(sys.argv[1])
    os.environ["PYSPARK_PYTHON"] = sys.executable
    workers = settings["workers"]
    local = {"spark.ui.enabled": "false", "spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    spark = SparkSession.builder.master(f"local[{workers}]").config(map=local).getOrCreate()
    TorchDistributor(num_processes=workers, local_mode=settings["on_driver"], use_gpu=False).run(work, settings)
    spark.stop()


if __name__ == "__main__":
    main()
