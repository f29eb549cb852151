"""The process that forks those of Spark's tasks."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

_DEADLINE_S = 60
_TOLD = """
import atexit, runpy, sys
atexit.register(lambda: print(sys.modules["pyspark"].__file__, file=sys.stderr))
runpy.run_module("pileus.engines.spark.daemon", run_name="__main__")
"""


@pytest.mark.service
def test_installed_modules_come_before_those_of_an_archive() -> None:
    found = importlib.util.find_spec("pyspark")
    assert found is not None and found.origin is not None, "run `make services`"
    installed = Path(found.origin)
    archive = installed.parent / "python" / "lib" / "pyspark.zip"
    assert archive.exists()
    path = os.pathsep.join([str(archive), os.environ.get("PYTHONPATH", "")])
    ended = subprocess.run(
        [sys.executable, "-c", _TOLD],
        env=os.environ | {"PYTHONPATH": path},
        stdin=subprocess.DEVNULL,  # which Spark closes when it is done
        capture_output=True,
        timeout=_DEADLINE_S,
        start_new_session=True,  # all in its group are told of the end
        check=False,
    )
    assert ended.stderr.decode().split()[-1:] == [str(installed)], ended.stderr.decode()
