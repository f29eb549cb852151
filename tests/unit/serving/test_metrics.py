from __future__ import annotations

import pytest

from pileus.serving.metrics import Computed, Counter, Gauge, Histogram, Metric, Slot, Values, rendered


def bound(slot: Slot) -> Values:
    values = memoryview(bytearray(8 * slot.num_places)).cast("d")
    slot.bind(values)
    return values


def test_every_kind_in_the_text_format() -> None:
    slot = Slot()
    counter = Counter(slot, "requests_total", "Requests.", {"route": ["/a", "/b"], "status": ["200", "404"]})
    histogram = Histogram(slot, "seconds", "Times.", (0.1, 1.0), ("stage", ["read", "write"]))
    gauge = Gauge(slot, "queue", "Queued.", lambda: 4)
    values = bound(slot)
    counter.add("/a", "200")
    counter.add("/a", "200", amount=2)
    for value in (0.05, 0.1, 0.5, 7.0):
        histogram.observe(value, "read")
    gauge.note()
    metrics: list[Metric] = [counter, histogram, gauge]
    assert rendered(metrics, [values]).decode().splitlines() == [
        "# HELP requests_total Requests.",
        "# TYPE requests_total counter",
        'requests_total{route="/a",status="200"} 3',
        "# HELP seconds Times.",
        "# TYPE seconds histogram",
        'seconds_bucket{stage="read",le="0.1"} 2',
        'seconds_bucket{stage="read",le="1.0"} 3',
        'seconds_bucket{stage="read",le="+Inf"} 4',
        'seconds_sum{stage="read"} 7.65',
        'seconds_count{stage="read"} 4',
        "# HELP queue Queued.",
        "# TYPE queue gauge",
        "queue 4",
    ]


def test_what_is_worked_out_tells_what_is_known() -> None:
    info, drift = Computed("model_info", "The model.", "name"), Computed("drift", "Drift.", "of")
    assert info.told({('a "b"\\\n',): 1}).decode().splitlines() == [
        "# HELP model_info The model.",
        "# TYPE model_info gauge",
        'model_info{name="a \\"b\\"\\\\\\n"} 1',
    ]
    assert drift.told({}) == b"# HELP drift Drift.\n# TYPE drift gauge\n"
    assert drift.told({("ink",): 0.125, ("mood",): 2}).endswith(b'\ndrift{of="ink"} 0.125\ndrift{of="mood"} 2\n')
    assert Computed("items", "Items.").told({(): 7}).endswith(b"\nitems 7\n")


def test_a_counter_without_labels_starts_at_zero() -> None:
    slot = Slot()
    counter = Counter(slot, "total", "All.")
    assert rendered([counter], [bound(slot)]).endswith(b"\ntotal 0\n")


def test_a_counter_of_one_label_starts_at_zero_and_one_of_several_with_what_was_counted() -> None:
    slot = Slot()
    one = Counter(slot, "shed", "Shed.", {"cause": ["queue", "memory"]})
    two = Counter(slot, "asked", "Asked.", {"route": ["/a"], "status": ["200", "404"]})
    values = bound(slot)
    two.add("/a", "404")
    text = rendered([one, two], [values])
    assert b'shed{cause="queue"} 0\nshed{cause="memory"} 0\n' in text
    assert text.endswith(b'# TYPE asked counter\nasked{route="/a",status="404"} 1\n')


def test_great_counts_keep_their_digits() -> None:
    slot = Slot()
    counter = Counter(slot, "total", "All.")
    values = bound(slot)
    counter.add(amount=12_345_678)
    assert rendered([counter], [values]).endswith(b"\ntotal 12345678\n")


def test_slots_add_up_and_counts_by_bucket_come_at_once() -> None:
    slot = Slot()
    histogram = Histogram(slot, "ink", "Ink.", (0.5, 1.0))
    first, second = bound(slot), bound(slot)
    histogram.add_counts([2, 3], 1.5)
    slot.bind(first)
    histogram.observe(0.75)
    text = rendered([histogram], [first, second]).decode()
    assert 'ink_bucket{le="0.5"} 2\nink_bucket{le="1.0"} 6\nink_bucket{le="+Inf"} 6\nink_sum 2.25\n' in text


def test_a_label_that_was_not_foreseen_is_our_mistake() -> None:
    slot = Slot()
    counter = Counter(slot, "requests_total", "Requests.", {"status": ["200"]})
    bound(slot)
    with pytest.raises(KeyError):
        counter.add("201")
