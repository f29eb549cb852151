"""A NameNode and a DataNode, from the libraries that scripts/services.sh puts beside one another."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest
import urllib3

from tests.servers.process import SERVICES, free_ports, running

LIBRARIES = SERVICES / "hadoop-3.4.1"
_NAME_NODE = "org.apache.hadoop.hdfs.server.namenode.NameNode"
_DATA_NODE = "org.apache.hadoop.hdfs.server.datanode.DataNode"
_READY_S = 90.0
_LOG4J = """
log4j.rootLogger=WARN, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
"""


@contextlib.contextmanager
def hdfs(folder: Path) -> Iterator[str]:
    """The HOST:PORT of WebHDFS. Skips where the libraries or Java are not installed."""
    java = shutil.which("java")
    if java is None or not LIBRARIES.is_dir():
        pytest.skip(f"there is no java or no {LIBRARIES}; run: make services SERVICES=hdfs")
    name_rpc, name_web, data_move, data_web, data_rpc = free_ports(5)
    settings = {
        "dfs.namenode.name.dir": str(folder / "names"),
        "dfs.datanode.data.dir": str(folder / "data"),
        "dfs.namenode.http-address": f"127.0.0.1:{name_web}",
        "dfs.namenode.rpc-address": f"127.0.0.1:{name_rpc}",
        "dfs.datanode.address": f"127.0.0.1:{data_move}",
        "dfs.datanode.http.address": f"127.0.0.1:{data_web}",
        "dfs.datanode.ipc.address": f"127.0.0.1:{data_rpc}",
        "dfs.datanode.hostname": "127.0.0.1",
        "dfs.replication": "1",
        "dfs.permissions.enabled": "false",
        "dfs.client.block.write.locateFollowingBlock.initial.delay.ms": "10",
        "dfs.namenode.safemode.extension": "0",
    }
    configuration = _configure(folder, settings, f"hdfs://127.0.0.1:{name_rpc}")
    base = [java, "-Xmx256m", "--add-opens", "java.base/java.lang=ALL-UNNAMED"]
    base += [f"-Dhadoop.log.dir={folder}", "-cp", f"{configuration}:{LIBRARIES}/*"]
    done = subprocess.run(
        [*base, _NAME_NODE, "-format", "-nonInteractive"], cwd=folder, capture_output=True, timeout=60
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]
    places = [folder / "name", folder / "datanode"]
    for place in places:
        place.mkdir()
    status = f"http://127.0.0.1:{name_web}/webhdfs/v1/?op=LISTSTATUS&user.name=pileus"
    with (
        running([*base, _NAME_NODE], places[0], status, deadline_s=_READY_S),
        running([*base, _DATA_NODE], places[1], f"http://127.0.0.1:{data_web}/jmx", deadline_s=_READY_S),
    ):
        _await_data_node(name_web)
        yield f"127.0.0.1:{name_web}"


def _configure(folder: Path, settings: dict[str, str], file_system: str) -> Path:
    configuration = folder / "conf"
    for each in ("hdfs", "datanode"):  # without these folders the servers do not start
        (configuration / "webapps" / each / "WEB-INF").mkdir(parents=True)
    (configuration / "core-site.xml").write_text(_xml({"fs.defaultFS": file_system}), encoding="utf-8")
    (configuration / "hdfs-site.xml").write_text(_xml(settings), encoding="utf-8")
    (configuration / "log4j.properties").write_text(_LOG4J, encoding="utf-8")
    return configuration


def _xml(settings: dict[str, str]) -> str:
    lines = [f"<property><name>{name}</name><value>{value}</value></property>" for name, value in settings.items()]
    return f"<configuration>{''.join(lines)}</configuration>"


def _await_data_node(port: int) -> None:
    """A file can be written: a DataNode that is listed as live has none of its storage reported yet."""
    url = f"http://127.0.0.1:{port}/webhdfs/v1/ready?op=CREATE&overwrite=true&user.name=pileus"
    deadline = time.monotonic() + _READY_S
    with urllib3.PoolManager(timeout=5.0, retries=False) as pool:
        while time.monotonic() < deadline:
            answer = pool.request("PUT", url, redirect=False)
            if answer.status == HTTPStatus.TEMPORARY_REDIRECT:
                answer = pool.request("PUT", answer.headers["Location"], body=b"ready")
                if answer.status == HTTPStatus.CREATED:
                    return
            time.sleep(0.1)
    raise AssertionError(f"no DataNode came up: {answer.data[:500]!r}")
