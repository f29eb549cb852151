"""What a run of the neighbour classifier does in place of steps: choose how many vote, and write them into a graph.

The training part is searched in shards, one a worker; a shard is found again from the records by its bounds, so that an
engine has nothing to send but two numbers and the answers. What comes of it does not depend on how many there are.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from pileus.bundles.neighbours import export_neighbours
from pileus.data.batches import Part, load_part, positions_of, shape_of
from pileus.data.ports import Split
from pileus.engines.ports import Engine
from pileus.errors import SourceError
from pileus.machine import count_cores
from pileus.measure.figures import neighbours_picture
from pileus.models.neighbours.search import MOST_VALUES, Nearest, Shard, merge
from pileus.models.neighbours.votes import PRIOR_VOTES, accuracy_by_k
from pileus.operations.observer import Observer
from pileus.operations.pack import Graph
from pileus.records.read import RecordSet, open_records
from pileus.runs.directory import Plan, RunDirectory
from pileus.spec.neighbours import KNN, Neighbours
from pileus.spec.run import Data, RunSpec
from pileus.spec.values import Spec, canonical_json, digest

_FIGURES, _PICTURE = "neighbours.json", "neighbours.png"


class Votes(Spec, frozen=True, kw_only=True):
    """`neighbours.json` of a run."""

    k: int
    """That the bundle has."""
    validation_samples: int
    accuracy_by_k: dict[str, float]
    """On the validation part; empty where there is none."""


class Search(NamedTuple):
    """What every worker has to know; it pickles."""

    records_uri: str
    data: Data
    most: int
    threads: int


def check_neighbours(spec: RunSpec, records: RecordSet) -> None:
    """SourceError where the records cannot be searched as the spec says."""
    votes = _votes_of(spec)
    num_train, num_validation = (
        len(positions_of(records, split, spec.data.validation)) for split in (Split.TRAIN, Split.VALIDATION)
    )
    shape = shape_of(records, spec.data.size)
    if math.prod(shape) > MOST_VALUES:
        raise SourceError(
            f"{KNN} compares images of at most {MOST_VALUES:,} values (got {'x'.join(map(str, shape))}); "
            "bring them to a smaller size: --set data.size=[96,96]"
        )
    if votes.k is None and not num_validation:
        raise SourceError(
            f"how many neighbours vote is chosen by the validation part (got none in {spec.data.source}); "
            "hold some back, --set data.validation=0.1, or say how many: --set neighbours.k=5"
        )
    if num_train < max(votes.k or 1, spec.workers):
        raise SourceError(
            f"{votes.k or 1} neighbours and {spec.workers} workers need as many training samples (got {num_train} in "
            f"{spec.data.source}); lower neighbours.k or --workers."
        )


def fit(directory: RunDirectory, plan: Plan, records: RecordSet, engine: Engine, observer: Observer) -> Graph:
    """The graph that answers as the neighbours do; accuracy by their number is told and kept in the run."""
    spec, votes = plan.spec, _votes_of(plan.spec)
    train, validation = (
        load_part(records, split, validation=spec.data.validation, size=spec.data.size)
        for split in (Split.TRAIN, Split.VALIDATION)
    )
    accuracies: list[float] = []
    if len(validation):
        found = search(plan, len(train), engine)
        accuracies = accuracy_by_k(train.labels_N[found.indices_NK], validation.labels_N, len(records.classes))
        for k, accuracy in enumerate(accuracies, 1):
            observer.say(f"{k:2} neighbour{'s' if k > 1 else ' '}  validation {accuracy:.2%}")
        directory.store.put(_PICTURE, neighbours_picture(accuracies))
    k = votes.k or int(np.argmax(accuracies)) + 1
    observer.say(f"{k} neighbour{'s vote' if k > 1 else ' votes'}" + ("" if votes.k else ", the best on validation"))
    by_k = {str(k): accuracy for k, accuracy in enumerate(accuracies, 1)}
    told = Votes(k=k, validation_samples=len(validation), accuracy_by_k=by_k)
    directory.store.put(_FIGURES, canonical_json(told))
    onnx = export_neighbours(_images_of(train), train.labels_N, k, len(records.classes), PRIOR_VOTES)
    chosen = msgspec.structs.replace(spec, neighbours=msgspec.structs.replace(votes, k=k))
    return Graph(onnx, digest(onnx), chosen, ("pileus", "onnx", "numpy"), accuracies)


def search(plan: Plan, num_train: int, engine: Engine) -> Nearest:
    """Of each image of the validation part its nearest in the train part, as many as accuracy is told of."""
    spec, workers = plan.spec, plan.spec.workers
    threads = spec.lanes or max(1, count_cores().usable // workers)
    call = functools.partial(search_shard, Search(plan.records_uri, spec.data, _votes_of(spec).most, threads))
    edges = [worker * num_train // workers for worker in range(workers + 1)]
    bounds = list(itertools.pairwise(edges))
    if workers == 1:
        return call(bounds[0])
    return merge(list(engine.map(call, bounds, workers=workers)), _votes_of(spec).most)


def search_shard(asked: Search, bounds: tuple[int, int]) -> Nearest:
    """Of each image of the validation part its nearest in rows [low, high) of the train part."""
    records = open_records(asked.records_uri)
    train, validation = (
        load_part(records, split, validation=asked.data.validation, size=asked.data.size)
        for split in (Split.TRAIN, Split.VALIDATION)
    )
    low, high = bounds
    images_MD, queries_ND = _flat(train, np.arange(low, high)), _flat(validation, np.arange(len(validation)))
    return Shard(images_MD, first=low, threads=asked.threads).nearest(queries_ND, asked.most)


def _votes_of(spec: RunSpec) -> Neighbours:
    assert spec.neighbours is not None
    return spec.neighbours


def _images_of(part: Part) -> NDArray[np.uint8]:
    return part.pixels.images[np.arange(len(part))]


def _flat(part: Part, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    return part.pixels.images[rows].reshape(len(rows), -1)
