"""Whether there is a Java that Spark runs on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from pileus.errors import MissingService

OLDEST = 17
_DEADLINE_S = 30


def check_java() -> None:
    """MissingService where Spark would find none, or too old a one."""
    home = os.environ.get("JAVA_HOME")
    found = str(Path(home, "bin", "java")) if home else shutil.which("java")
    if found is None:
        raise _missing("no java is on PATH")
    try:
        told = subprocess.run([found, "-version"], capture_output=True, text=True, timeout=_DEADLINE_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise _missing(f"{found} cannot be run: {error}") from error
    version = re.search(r'version "(?:1\.)?(\d+)', told.stderr + told.stdout)
    if version is None or int(version[1]) < OLDEST:
        raise _missing(f"{found} is {version[0] if version else 'of no known version'}")


def _missing(why: str) -> MissingService:
    return MissingService(
        f"engine 'spark' needs Java {OLDEST} or later, and {why}; install one (Debian: openjdk-17-jre-headless), or "
        "name it in JAVA_HOME."
    )
