"""Ray Train's TorchTrainer: `python -m engine_trainers.ray_train SETTINGS`."""

from __future__ import annotations

import json
import sys
from typing import Any

import ray
from ray.train import RunConfig, ScalingConfig, get_context
from ray.train.torch import TorchTrainer, prepare_data_loader, prepare_model
from torch.utils.data import DataLoader

from engine_trainers.loop import fit, network, pictures


def work(settings: dict[str, Any]) -> None:
    loader = DataLoader(pictures(settings), batch_size=settings["batch_size"], shuffle=True)
    fit(settings, prepare_model(network()), prepare_data_loader(loader), get_context().get_world_rank())


def main() -> None:
    settings = json.loads(sys.argv[1])
    ray.init(num_cpus=settings["workers"], include_dashboard=False)
    trainer = TorchTrainer(
        work,
        train_loop_config=settings,
        scaling_config=ScalingConfig(num_workers=settings["workers"]),
        run_config=RunConfig(storage_path=settings["folder"]),
    )
    trainer.fit()
    ray.shutdown()


if __name__ == "__main__":
    main()
