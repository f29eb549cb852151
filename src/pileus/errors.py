"""Every error that Pileus raises on purpose, and the exit code that each becomes.

    PileusError                     1   the work failed
    ├── UsageError (ValueError)     2   wrong usage or bad input: the message names the rule, what was got, the way out
    │   ├── SpecError               2   an impossible or unknown setting of a run
    │   └── SourceError             2   input data that cannot be used; names the file and the row
    ├── MissingExtra                3   a library that an extra brings is not installed
    ├── MissingService              3   something outside (a server, a port, a tool) is not to be had
    ├── Damaged                     1   a check found damage: records, checkpoint, bundle
    ├── StoreError                  1   the store refused: full, read-only, out of reach
    │   ├── NotFound                1
    │   ├── AlreadyExists           1   a put-if-absent lost
    │   └── VersionConflict         1   a compare-and-swap lost
    ├── WorkFailed                  1   training or another piece of work ended badly; names rank and cause
    │   ├── PeerLost                1   a worker's peer closed or fell silent
    │   └── Diverged                1   loss is not finite; names the step
    ├── RunTaken                    2   another process drives this run
    └── Interrupted               130   asked to stop; state is saved

A message is one or two lines: the rule, what was got, the way out. Our own mistakes are assertions, never these.
"""

from __future__ import annotations


class PileusError(Exception):
    """Base of all errors that are told to a user without a traceback."""

    exit_code = 1


class UsageError(PileusError, ValueError):
    exit_code = 2


class SpecError(UsageError):
    pass


class SourceError(UsageError):
    pass


class MissingExtra(PileusError):  # noqa: N818 - named for the state, as the table above reads
    """An optional library is absent. `extra` is the name to install: `pip install 'pileus[extra]'`."""

    exit_code = 3

    def __init__(self, purpose: str, library: str, extra: str) -> None:
        self.extra = extra
        self._said = (purpose, library, extra)
        super().__init__(f"{purpose} needs {library}, which is not installed; run: pip install 'pileus[{extra}]'")

    def __reduce__(self) -> tuple[object, ...]:
        """Errors come back from other processes as what they are."""
        return type(self), self._said, self.__dict__


class MissingService(PileusError):  # noqa: N818
    exit_code = 3


class Damaged(PileusError):  # noqa: N818
    pass


class StoreError(PileusError):
    pass


class NotFound(StoreError):  # noqa: N818
    pass


class AlreadyExists(StoreError):  # noqa: N818
    pass


class VersionConflict(StoreError):  # noqa: N818
    pass


class WorkFailed(PileusError):  # noqa: N818
    pass


class PeerLost(WorkFailed):
    pass


class Diverged(WorkFailed):
    pass


class RunTaken(PileusError):  # noqa: N818
    exit_code = 2


class Interrupted(PileusError):  # noqa: N818
    exit_code = 130
