"""Azurite: Microsoft's emulator of Azure Blob Storage."""

from __future__ import annotations

import base64
import contextlib
import email.utils
import hashlib
import hmac
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.process import SERVICES, free_ports, running

PROGRAM = SERVICES / "azurite" / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
CONTAINER = "pileus"
_ACCOUNT = "devstoreaccount1"
_KEY = base64.b64encode(b"only-for-tests-on-loopback").decode()
_VERSION = "2021-12-02"


@contextlib.contextmanager
def azurite(folder: Path) -> Iterator[dict[str, str]]:
    """The environment that reaches it; it has one empty container. Skips where it is not installed."""
    node = shutil.which("node")
    if node is None or not PROGRAM.exists():
        pytest.skip(f"there is no node or no {PROGRAM}; run: make services SERVICES=azurite")
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}/{_ACCOUNT}"
    options = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(folder / "blobs")]
    options += ["--silent", "--disableTelemetry", "--skipApiVersionCheck"]
    accounts = {"AZURITE_ACCOUNTS": f"{_ACCOUNT}:{_KEY}"}
    with running([node, str(PROGRAM), *options], folder, url, env=accounts):
        _create_container(url)
        yield {
            "AZURE_STORAGE_ACCOUNT_NAME": _ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": _KEY,
            "AZURE_STORAGE_ENDPOINT": url,
        }


def _create_container(url: str) -> None:
    """By one request that is signed with the account's key."""
    date = email.utils.formatdate(usegmt=True)
    signed = f"PUT{chr(10) * 12}x-ms-date:{date}\nx-ms-version:{_VERSION}\n"
    signed += f"/{_ACCOUNT}/{_ACCOUNT}/{CONTAINER}\nrestype:container"
    mac = hmac.new(base64.b64decode(_KEY), signed.encode(), hashlib.sha256).digest()
    headers = {
        "Authorization": f"SharedKey {_ACCOUNT}:{base64.b64encode(mac).decode()}",
        "x-ms-date": date,
        "x-ms-version": _VERSION,
    }
    asked = urllib.request.Request(f"{url}/{CONTAINER}?restype=container", method="PUT", headers=headers)
    with urllib.request.urlopen(asked, timeout=5):
        pass
