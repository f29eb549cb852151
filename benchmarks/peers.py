"""The environments of peers: libraries that we compare with, and that nobody else needs to install."""

from __future__ import annotations

import subprocess
import venv
from pathlib import Path


def peers_environment(package: Path) -> str:
    """Python of an environment with the `requirements.txt` of a package, made in its `.venv` where it is not there."""
    folder = package / ".venv"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", package / "requirements.txt"], check=True)
        (folder / "complete").touch()
    return str(python)
