"""The `pileus` command, also as `python -m pileus`. Imports under guard, so that Ctrl-C at any time ends quietly."""

import gc
import sys


def run() -> int:
    """The exit code."""
    try:
        from pileus.cli.main import main  # noqa: PLC0415 - Ctrl-C may come before it is there

        return main()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted.\n")
        return 130
    finally:
        gc.freeze()  # else the interpreter looks for garbage once more as it ends, with torch for most of a second


if __name__ == "__main__":
    sys.exit(run())
