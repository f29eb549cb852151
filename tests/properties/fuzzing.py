"""What the tests of arbitrary input share: how many examples, how long one may take, and files that are nearly right.

`PILEUS_FUZZ_EXAMPLES` is the number of examples of each property; continuous integration has the default, which takes
seconds. A night has `PILEUS_FUZZ_EXAMPLES=100000`.
"""

from __future__ import annotations

import os
import zlib
from datetime import timedelta

import psutil
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

EXAMPLE_S = 10.0
"""No input may take longer, on the slowest machine; what is bounded takes milliseconds."""
MOST_BYTES = 400 * 1024 * 1024
"""That a process may grow by, whatever it is sent."""
_PNG_HEAD = 8


def fuzz(share: float = 1.0) -> settings:
    """`share` of the examples, for properties whose examples take long."""
    return settings(
        max_examples=max(10, int(share * int(os.environ.get("PILEUS_FUZZ_EXAMPLES", "150")))),
        deadline=timedelta(seconds=EXAMPLE_S),
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


def resident_bytes() -> int:
    return int(psutil.Process().memory_info().rss)


@st.composite
def mutated(draw: st.DrawFn, content: bytes, *, most: int = 6) -> bytes:
    """Some bytes changed, cut out, repeated or put in."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, most))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        length = draw(st.integers(1, 16))
        match draw(st.sampled_from(["change", "cut", "repeat", "insert", "end"])):
            case "change":
                data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case "cut":
                del data[at : at + length]
            case "repeat":
                data[at:at] = data[at : at + length]
            case "insert":
                data[at:at] = draw(st.binary(min_size=1, max_size=8))
            case _:
                del data[at:]
    return bytes(data)


def with_right_checksums(png: bytes) -> bytes:
    """As far as there are chunks: so that what is wrong is found behind the checksums."""
    data, at = bytearray(png), _PNG_HEAD
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        end = at + 8 + length
        if end + 4 > len(data):
            break
        data[end : end + 4] = zlib.crc32(data[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(data)
