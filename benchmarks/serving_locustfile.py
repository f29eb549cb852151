"""Users who draw digits, for Locust: each sends a drawing of the embedded ones, reads the answer, and pauses.

    pip install locust
    locust -f benchmarks/serving_locustfile.py --host http://127.0.0.1:8000 --headless --users 50 --spawn-rate 50 -t 30s

`--think-s 0` leaves out the pause.
"""

from __future__ import annotations

import random
from argparse import ArgumentParser

import msgspec
from locust import FastHttpUser, events, task

from pileus.data.ports import Split
from pileus.data.sources.strokes import load_strokes

DRAWN = load_strokes(Split.TEST)
BODIES = [msgspec.json.encode({"strokes": [line.tolist() for line in digit.strokes]}) for digit in DRAWN]


@events.init_command_line_parser.add_listener
def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--think-s", type=float, default=1.0, help="mean pause of a user")


class Drawer(FastHttpUser):
    def wait_time(self) -> float:
        return float(self.environment.parsed_options.think_s) * random.uniform(0.5, 1.5)

    @task
    def draw(self) -> None:
        headers = {"Content-Type": "application/json"}
        with self.client.post(
            "/v1/predict", data=random.choice(BODIES), headers=headers, catch_response=True
        ) as answer:
            if answer.status_code != 200:
                answer.failure(f"status {answer.status_code}")
            elif not answer.json()["items"]:
                answer.failure("no digit")
