"""The settings that are tried of each reader, so that each is measured at its best on the cores it is given."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

from reading_peers.job import PHOTOGRAPHS, Task

Settings = dict[str, Any]

SMALL: tuple[Task, ...] = ("cifar10", "mnist")
PILEUS = "Pileus"

BY_HAND = (("opencv", "opencv"), ("simplejpeg", "opencv"), ("simplejpeg fast", "opencv"))
"""Decoder and resizer: the fastest of `pictures`, by what DataLoader does with each of them."""
OTHERS = (("torchvision", "opencv"), ("torchvision", "torchvision"), ("pillow", "opencv"), ("pillow", "pillow"))


class Peer(NamedTuple):
    name: str
    module: str
    tasks: tuple[Task, ...]
    tried: Callable[[int], list[Settings]]
    """Of so many cores."""
    epochs: int = 1
    """Counted in one run: of fast readers several, so that it takes seconds."""


def pictures(*ways: tuple[str, str]) -> list[Settings]:
    return [{"decoder": decoder, "resizer": resizer} for decoder, resizer in ways]


def crossed(*sides: list[Settings]) -> list[Settings]:
    return [dict(itertools.chain.from_iterable(one.items() for one in ones)) for ones in itertools.product(*sides)]


def each(name: str, *values: Any) -> list[Settings]:
    return [{name: value} for value in values]


def workers(cores: int) -> list[Settings]:
    """0: in the process that asks."""
    return each("workers", *((0, 1, 2) if cores == 1 else (cores, cores + 1, 2 * cores)))


def data_loader(cores: int) -> list[Settings]:
    by_hand = crossed(workers(cores), pictures(*BY_HAND))
    others = crossed(each("workers", 0 if cores == 1 else cores), pictures(*OTHERS))
    return crossed(each("fetch", "batch"), by_hand + others)


def by_workers(cores: int) -> list[Settings]:
    return crossed(workers(cores), pictures(*BY_HAND))


def tf_data(cores: int) -> list[Settings]:
    """INTEGER_FAST and "crop" were never slower than INTEGER_ACCURATE and "resize"."""
    return crossed(
        each("parallel", -1, cores, 2 * cores),
        each("threads", cores),
        each("decode", "fused", "whole"),
        each("dct", "INTEGER_FAST"),
        each("resize", "crop"),
    )


def grain(cores: int) -> list[Settings]:
    threads = [{"workers": 0, "threads": number, "ahead": 2 * number} for number in (cores, cores + 1, 2 * cores)]
    processes = [{"workers": cores, "threads": 1, "ahead": 2}]
    return crossed(threads, pictures(*BY_HAND)) + crossed(processes, pictures(BY_HAND[0]))


def small_data_loader(cores: int) -> list[Settings]:
    return crossed(each("fetch", "items", "batch"), workers(cores), each("threads", 1))


def cut_by_hand(cores: int) -> list[Settings]:
    return crossed(
        each("fetch", "by hand"), workers(cores), each("threads", 1, cores) if cores > 1 else [{"threads": 1}]
    )


def airbench(cores: int) -> list[Settings]:
    return crossed(each("threads", *range(1, cores + 1)), each("dtype", "float16", "float32", "uint8"))


def readers(cores: int) -> list[Settings]:
    return each("readers", *range(1, cores + 1))


PEERS = (
    Peer(PILEUS, "ours", PHOTOGRAPHS, lambda cores: crossed(readers(cores), each("memory_bytes", 0))),
    Peer("DataLoader, as tutorials", "data_loader", PHOTOGRAPHS, lambda n: crossed(each("fetch", "items"), workers(n))),
    Peer("DataLoader", "data_loader", PHOTOGRAPHS, data_loader),
    Peer("tf.data", "tf_data", PHOTOGRAPHS, tf_data),
    Peer("WebDataset", "web_dataset", PHOTOGRAPHS, by_workers),
    Peer("MosaicML streaming", "mosaic", PHOTOGRAPHS, by_workers),
    Peer("Grain", "grain_reader", PHOTOGRAPHS, grain),
    Peer(PILEUS, "ours", SMALL, readers, 20),
    Peer("DataLoader", "small_data_loader", SMALL, small_data_loader),
    Peer("DataLoader, cut by hand", "small_data_loader", SMALL, cut_by_hand, 4),
    Peer("airbench", "airbench", SMALL, airbench, 5),
)
