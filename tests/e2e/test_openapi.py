"""A public tester of APIs reads the document of a real server, and asks whatever the document lets it ask."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.e2e.serving import served
from tests.unit.serving.conftest import bundle_folder  # noqa: F401 - a fixture

BUDGET_S = 10

CONFIG = """
[parameters]
"path.model" = "digits"
"path.version" = "{version}"

[generation]
database = "none"

# a deadline of a millisecond may pass, and is told so
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", "504"]
"""


@pytest.mark.service
def test_every_answer_is_as_the_document_says(bundle_folder: Path, tmp_path: Path) -> None:  # noqa: F811
    """Statuses, media types, schemas of answers and of refusals, methods; and never a fault of the server."""
    with served(bundle_folder, "--feedback", str(tmp_path / "feedback")) as url:
        (model,) = httpx.get(f"{url}/v1/models").json()["models"]
        config = tmp_path / "schemathesis.toml"
        config.write_text(CONFIG.format(version=model["version"]), encoding="utf-8")
        ended = subprocess.run(
            [
                str(Path(sys.executable).with_name("schemathesis")),
                *("--config-file", str(config), "run", f"{url}/openapi.json", "--no-color", "--seed", "1"),
                *("--max-time", str(BUDGET_S), "--max-examples", "40", "--phases", "examples,coverage,fuzzing"),
                # the document cannot say which strokes and pictures can be read, nor that more is skipped than asked
                *("--exclude-checks", "positive_data_acceptance,negative_data_rejection"),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=4 * BUDGET_S,
        )
        assert ended.returncode == 0, ended.stdout[-6000:] + ended.stderr[-2000:]
        assert httpx.get(f"{url}/readyz").status_code == 200
        metrics = httpx.get(f"{url}/metrics").text
    for asked in (
        'route="/v1/predict",status="200"',
        'route="/v1/feedback",status="404"',
        'route="/v2/infer",status="400"',
    ):
        assert asked in metrics, "it has hardly asked anything"
    assert 'status="500"' not in metrics
