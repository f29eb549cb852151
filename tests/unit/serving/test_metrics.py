from __future__ import annotations

from pileus.serving.metrics import Counter, Gauge, Histogram, Info, Metric, rendered


def test_every_kind_in_the_text_format() -> None:
    counter = Counter("requests_total", "Requests.", ("route", "status"))
    counter.add("/a", "200")
    counter.add("/a", "200", amount=2)
    histogram = Histogram("seconds", "Times.", (0.1, 1.0), ("stage",))
    for value in (0.05, 0.1, 0.5, 7.0):
        histogram.observe(value, "read")
    metrics: list[Metric] = [
        counter,
        histogram,
        Gauge("queue", "Queued.", lambda: 4),
        Info("model_info", "The model.", {"name": 'a "b"\\\n'}),
    ]
    assert rendered(metrics).decode().splitlines() == [
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
        "# HELP model_info The model.",
        "# TYPE model_info gauge",
        'model_info{name="a \\"b\\"\\\\\\n"} 1',
    ]


def test_a_counter_without_labels_starts_at_zero() -> None:
    assert rendered([Counter("total", "All.")]).endswith(b"\ntotal 0\n")


def test_great_counts_keep_their_digits() -> None:
    counter = Counter("total", "All.")
    counter.add(amount=12_345_678)
    assert rendered([counter]).endswith(b"\ntotal 12345678\n")
