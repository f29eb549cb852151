"""Places as the tasks of one barrier stage, which Spark starts together, and ends together when one is lost."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Collection, Iterator, Mapping
from functools import partial

from pyspark import BarrierTaskContext
from pyspark.util import InheritableThread

from pileus.engines.hosts.address import Address
from pileus.engines.hosts.launch import Ending
from pileus.engines.places.attend import attend
from pileus.engines.places.invitation import Invitation
from pileus.engines.places.ports import Need
from pileus.engines.places.stories import telling_line
from pileus.engines.spark.session import SparkSession

_LEAVE_S = 5.0
_CANCEL_S = 20.0
_RAISED = re.compile(r"^(?:pileus\.errors\.\w+|ModuleNotFoundError): .*$", re.MULTILINE)


def host_place(invitation: Invitation, names: tuple[str, ...], cores: int, rows: Iterator[int]) -> Iterator[str]:
    """A task. Whoever kills its executor leaves its Python process to another parent."""
    context, parent = BarrierTaskContext.get(), os.getppid()
    if "gpu" in context.resources():
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(context.resources()["gpu"].addresses)
    yield attend(invitation, names[context.partitionId()], cores, lambda: os.getppid() == parent)


class SparkPlacer:
    def __init__(self, session: SparkSession) -> None:
        self._session = session
        self._stage: _Stage | None = None
        self._needs: Mapping[str, Need] = {}

    @property
    def dashboard(self) -> str:
        return self._session.dashboard

    def open(self) -> Address:
        return self._session.address()

    def staying(self, needs: Mapping[str, Need], present: Collection[str]) -> Collection[str]:
        """A stage stays as a whole."""
        is_whole = self._stage is not None and not self._stage.is_over and set(present) == set(needs)
        return set(present) if is_whole and needs == self._needs else ()

    def place(self, invitation: Invitation, needs: Mapping[str, Need], staying: Collection[str]) -> None:
        if staying:
            return
        self.leave()
        self._needs = dict(needs)
        need = next(iter(needs.values()))
        self._session.open(len(needs), need)
        self._stage = _Stage(self._session, invitation, tuple(needs), need.cores)

    def waits(self, name: str) -> str:
        slots, num = self._session.context.defaultParallelism, len(self._needs)
        wanted = f"{num} tasks of {next(iter(self._needs.values()))}"
        return f"waiting for Spark to begin a barrier stage of {wanted} at once; it has {slots} CPU in all"

    def endings(self) -> Mapping[str, Ending]:
        ending = self._stage.ending if self._stage is not None else None
        return dict.fromkeys(self._needs, ending) if ending is not None else {}

    def leave(self) -> None:
        if self._stage is not None:
            self._stage.end()
            self._stage = None

    def close(self) -> None:
        self.leave()
        self._session.close()


class _Stage:
    """Under way in a thread, which waits for its end."""

    def __init__(self, session: SparkSession, invitation: Invitation, names: tuple[str, ...], cores: int) -> None:
        self.ending: Ending | None = None
        self._session = session
        self._word = f"pileus-places-{invitation.group}"
        self._tasks = partial(host_place, invitation, names, cores)
        self._num = len(names)
        self._over = threading.Event()
        self._thread = InheritableThread(target=self._run, name="barrier-stage")
        self._thread.start()

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    def end(self) -> None:
        """Its tasks have been dismissed; what does not leave is cancelled."""
        if not self._over.wait(_LEAVE_S):
            self._session.context.cancelJobGroup(self._word)
        self._thread.join(_CANCEL_S)

    def _run(self) -> None:
        context = self._session.context
        try:
            context.setJobGroup(self._word, "places of a run", interruptOnCancel=True)
            left = context.parallelize(range(self._num), self._num).barrier().mapPartitions(self._tasks).collect()
            self.ending = Ending(f"its barrier stage is over: {left[0]}", is_for_good=False)
        except Exception as error:  # whatever Spark makes of it
            self.ending = _ending(error)
        finally:
            self._over.set()


def _ending(error: Exception) -> Ending:
    raised = _RAISED.findall(str(error))
    if raised:
        return Ending(raised[-1].partition(": ")[2], is_for_good=True)
    return Ending(f"its barrier stage failed: {telling_line(error, 'ost', 'crashed')}", is_for_good=False)
