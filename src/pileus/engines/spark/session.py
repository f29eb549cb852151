"""The Spark context of this process, made anew where what is asked for needs another one.

Spark settles the slots of this machine, and what a task takes, when a context begins; so contexts follow what is asked
for, and the Java process below them stays. Where the user has a context already, it is used as it is.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from py4j.protocol import Py4JError
from pyspark import SparkConf, SparkContext
from pyspark.errors import PySparkException
from pyspark.java_gateway import launch_gateway

from pileus.engines.hosts.address import Address, facing
from pileus.engines.places.handlers import handlers_kept
from pileus.engines.places.ports import Need
from pileus.engines.places.stories import telling_line
from pileus.errors import MissingService, UsageError

_LOCAL = Address("127.0.0.1", 0)
_JAVA_ENDS_S = 20
_PORT = 7077
_SETTINGS = {
    "spark.task.maxFailures": "1",
    "spark.stage.maxConsecutiveAttempts": "1",
    "spark.scheduler.barrier.maxConcurrentTasksCheck.interval": "1s",
    "spark.scheduler.barrier.maxConcurrentTasksCheck.maxFailures": "100000",
    "spark.python.task.killTimeout": "500ms",
    "spark.log.level": "ERROR",
    "spark.ui.port": "0",
}
"""What fails is not tried again behind our back; a stage that finds no slots looks again until it is given up; what is
cancelled ends at once."""
_OWN = {
    "spark.driver.memory": "512m",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.python.daemon.module": "pileus.engines.spark.daemon",
}
"""A Spark of our own holds places and computes nothing itself, so what counts is how soon it is there: Java's first
compiler alone, one thread that collects, and Python modules that are compiled already."""


class SparkSession:
    """`master`: as Spark calls it; None: this machine, with as many slots as are asked for."""

    def __init__(self, master: str | None) -> None:
        if master is not None and not master.startswith(("spark://", "local[", "local-cluster[")):
            raise UsageError(
                "engine 'spark' places workers by spark://HOST:PORT, local[N] or local-cluster[N,CORES,MB] "
                f"(got engine.address={master}); name such a master."
            )
        self._master = master
        self._gateway: Any = None
        self._context: SparkContext | None = None
        self._is_users = False
        self._slots = 0
        self._need: Need | None = None
        self._folder: Path | None = None

    @property
    def context(self) -> SparkContext:
        assert self._context is not None, "it is open"
        return self._context

    @property
    def is_on_this_machine(self) -> bool:
        return self._master is None or self._master.startswith("local")

    @property
    def dashboard(self) -> str:
        return str(self._context.uiWebUrl or "") if self._context is not None else ""

    def address(self) -> Address:
        """Where the cluster's nodes call this process. MissingService where the master cannot be reached."""
        if self._master is None or self.is_on_this_machine:
            return _LOCAL
        try:
            master = urlsplit(self._master)
            return Address(facing(master.hostname or "", master.port or _PORT), 0)
        except (OSError, ValueError) as error:
            raise MissingService(
                f"no Spark master answers at {self._master}: {error}; start one (sbin/start-master.sh), or leave "
                "engine.address out for one of your own."
            ) from error

    def open(self, slots: int, need: Need) -> None:
        """Have a context with so many slots at least, each of which is given as much as is needed."""
        if self._is_users or (self._context is not None and self._slots >= slots and self._need == need):
            return
        active = SparkContext._active_spark_context
        if active is not None and active is not self._context:
            self._context, self._is_users = active, True
            return
        self._stop()
        self._slots, self._need = slots, need
        self._folder = self._folder or Path(tempfile.mkdtemp(prefix="pileus-spark-"))
        conf = self._conf(slots, need)
        try:
            with handlers_kept():
                if self._gateway is None:
                    with (self._folder / "java.log").open("wb") as log:
                        self._gateway = launch_gateway(conf, {"stdout": log, "stderr": log})
                self._context = SparkContext(gateway=self._gateway, conf=conf)
            self._context.pythonExec = os.environ.get("PYSPARK_PYTHON", sys.executable)
        except (PySparkException, Py4JError, OSError) as error:
            told = (self._folder / "java.log").read_text(errors="replace").strip().splitlines()
            raise MissingService(
                f"Spark cannot be used at {self._master or 'this machine'}: "
                f"{telling_line(error)} {' | '.join(told[-2:])}"
            ) from error

    def close(self) -> None:
        """What was started here is gone."""
        self._stop()
        if self._gateway is not None:
            _end_java(self._gateway)
            self._gateway = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _stop(self) -> None:
        if self._context is not None and not self._is_users:
            self._context.stop()
        self._context, self._is_users = None, False

    def _conf(self, slots: int, need: Need) -> SparkConf:
        own = self._master is None
        conf = SparkConf(loadDefaults=False)
        conf.setMaster(f"local[{slots}]" if self._master is None else self._master).setAppName("pileus")
        for name, value in _SETTINGS.items():
            conf.set(name, value)
        conf.set("spark.local.dir", str(self._folder))
        conf.set("spark.ui.enabled", str(not own).lower()).set("spark.ui.showConsoleProgress", "false")
        if self.is_on_this_machine:
            conf.set("spark.driver.host", _LOCAL.host).set("spark.driver.bindAddress", _LOCAL.host)
        else:
            conf.set("spark.driver.host", self.address().host).set("spark.cores.max", str(slots * need.cores))
        if own:
            for name, value in _OWN.items():
                conf.set(name, value)
        else:
            conf.set("spark.task.cpus", str(need.cores))
        if need.gpus and not own:
            conf.set("spark.task.resource.gpu.amount", f"{need.gpus:g}")
            conf.set("spark.executor.resource.gpu.amount", f"{max(1.0, need.gpus):g}")
        return conf


def _end_java(gateway: Any) -> None:
    """The process ends with its standard input, as Spark means it to."""
    with contextlib.suppress(Exception):  # whatever state its connections are in
        gateway.shutdown()
    process: subprocess.Popen[bytes] = gateway.proc
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(_JAVA_ENDS_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    SparkContext._gateway = None
    SparkContext._jvm = None
