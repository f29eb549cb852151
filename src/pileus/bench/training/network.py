"""Bytes that go over this machine's loopback interface, as the system counts them: of every process, in one number."""

from __future__ import annotations

from pathlib import Path


def loopback_bytes(root: Path = Path("/")) -> int | None:
    """Received so far, with the heads of packets; None where the system does not tell."""
    try:
        lines = (root / "proc/net/dev").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        name, colon, figures = line.partition(":")
        if colon and name.strip() == "lo":
            return int(figures.split()[0])
    return None
