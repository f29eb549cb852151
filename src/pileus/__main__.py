"""The `pileus` command, also as `python -m pileus`. Imports under guard, so that Ctrl-C at any time ends quietly."""

import sys


def run() -> int:
    """The exit code."""
    try:
        from pileus.cli.main import main  # noqa: PLC0415 - Ctrl-C may come before it is there

        return main()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted.\n")
        return 130


if __name__ == "__main__":
    sys.exit(run())
