"""A plain Dask client with torch: `python -m engine_trainers.dask_client SETTINGS`."""

from __future__ import annotations

import json
import socket
import sys
from typing import Any

import torch.distributed as dist
from distributed import Client, LocalCluster

from engine_trainers.loop import train_in_group


def work(settings: dict[str, Any], rank: int, port: int) -> None:
    meeting = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=settings["workers"])
    train_in_group(settings, rank)
    dist.destroy_process_group()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as ear:
        return int(ear.getsockname()[1])


def main() -> None:
    settings = json.loads(sys.argv[1])
    cluster = LocalCluster(n_workers=settings["workers"], threads_per_worker=1, dashboard_address=None)
    with cluster, Client(cluster) as client:
        port = free_port()
        tasks = [
            client.submit(work, settings, rank, port, workers=[address], pure=False)
            for rank, address in enumerate(client.nthreads())
        ]
        client.gather(tasks)


if __name__ == "__main__":
    main()
