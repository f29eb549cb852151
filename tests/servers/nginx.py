"""An NGINX that gives out one folder."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.process import free_ports, running

_CONFIGURATION = """
daemon off; master_process off; pid {folder}/pid; error_log stderr warn;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{ listen 127.0.0.1:{port}; root {root}; location = /up {{ return 200; }} }}
}}
"""


@contextlib.contextmanager
def nginx(folder: Path, root: Path) -> Iterator[str]:
    """The URL of `root`. Skips where NGINX is not installed."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip("there is no nginx; run: make services SERVICES=nginx")
    (port,) = free_ports(1)
    (folder / "nginx.conf").write_text(_CONFIGURATION.format(folder=folder, port=port, root=root), encoding="utf-8")
    command = [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]
    with running(command, folder, f"http://127.0.0.1:{port}/up"):
        yield f"http://127.0.0.1:{port}"
