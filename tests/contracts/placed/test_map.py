"""The suite of `map`, held to by the engines that place their workers."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from pileus.data.sources.open import open_source
from pileus.data.write import Division, WriteOptions, write_records
from pileus.engines.ports import Engine
from tests.contracts.test_engine_map import (
    processes,
    test_a_call_that_does_not_come_out_of_its_pickle_is_told,
    test_a_kept_call_is_opened_once_by_each_worker,
    test_a_killed_worker_is_named,
    test_a_stuck_worker_is_named_at_its_deadline,
    test_errors_keep_their_kind,
    test_no_worker_at_all_is_refused,
    test_results_come_in_the_order_of_the_items,
    test_the_first_item_that_raises_ends_the_map_as_what_it_raised,
    test_what_does_not_pickle_is_told_on_every_engine,
    test_workers_run_at_the_same_time,
)
from tests.contracts.tiny import write_folder

__all__ = [
    "processes",
    "test_a_call_that_does_not_come_out_of_its_pickle_is_told",
    "test_a_kept_call_is_opened_once_by_each_worker",
    "test_a_killed_worker_is_named",
    "test_a_stuck_worker_is_named_at_its_deadline",
    "test_errors_keep_their_kind",
    "test_no_worker_at_all_is_refused",
    "test_results_come_in_the_order_of_the_items",
    "test_the_first_item_that_raises_ends_the_map_as_what_it_raised",
    "test_what_does_not_pickle_is_told_on_every_engine",
    "test_workers_run_at_the_same_time",
]

pytestmark = pytest.mark.service


def test_record_sets_have_the_bytes_that_this_process_writes(engine: Engine, tmp_path: Path) -> None:
    source, options = open_source(str(write_folder(tmp_path / "photos"))), WriteOptions(num_shards=4, resize=(6, 6))
    contents = []
    there = partial(engine.map, workers=2)
    for name, workers, division in (
        ("here", None, Division()),
        ("there", there, Division()),
        ("divided", there, Division(partitions=3, cache=False)),
    ):
        summary = write_records(source, str(tmp_path / name), options=options, workers=workers, division=division)
        assert summary.partitions == (division.partitions or 4)
        contents.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert contents[0] == contents[1] == contents[2]
    assert sum(name.endswith(".tfrecord") for name in contents[0]) == 4
