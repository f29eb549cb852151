"""The process from which a Spark of our own forks the Python processes of its tasks.

Spark puts archives of its modules before all else, and what comes from an archive is compiled at every start, for a
second; here the modules that are installed come first. What a place needs is imported once, before the forks.
"""

from __future__ import annotations

import importlib
import sys

import pileus.engines.places.attend  # noqa: F401


def main() -> None:
    sys.path.sort(key=lambda place: place.endswith(".zip"))
    importlib.import_module("pyspark.daemon").manager()


if __name__ == "__main__":
    main()
