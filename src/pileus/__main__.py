"""`python -m pileus` is the `pileus` command."""

import sys

from pileus.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
