from __future__ import annotations

import pytest

from pileus.data.packing import Division, Piece
from pileus.errors import UsageError

_PIECES = [Piece(f"shard-{number}", range(number, number + 1)) for number in range(7)]


@pytest.mark.parametrize(("asked", "sizes"), [(None, [1] * 7), (1, [7]), (3, [2, 2, 3]), (7, [1] * 7), (99, [1] * 7)])
def test_partitions_are_whole_shards_in_order(asked: int | None, sizes: list[int]) -> None:
    partitions = Division(partitions=asked).partitions_of(_PIECES)
    assert [len(partition) for partition in partitions] == sizes
    assert [piece for partition in partitions for piece in partition] == _PIECES


@pytest.mark.parametrize("number", [0, -1, 100_001])
def test_impossible_numbers_of_partitions_are_refused(number: int) -> None:
    with pytest.raises(UsageError, match=rf"partitions must be in \[1, 100000\] \(got {number}\)"):
        Division(partitions=number)
