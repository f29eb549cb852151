"""Where the hosts of a cluster have the secret from that they share."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pileus.engines.cluster.environment import Cluster
from pileus.errors import UsageError

VARIABLE = "PILEUS_CLUSTER_SECRET"
FILE_VARIABLE = "PILEUS_CLUSTER_SECRET_FILE"
_FEWEST_BYTES = 16
_MOST_BYTES = 1 << 16


def read_secret(cluster: Cluster, environment: Mapping[str, str] | None = None) -> bytes:
    """UsageError where there is none, or a short one, and the cluster is more than this host alone."""
    known = os.environ if environment is None else environment
    secret = known.get(VARIABLE, "").strip().encode()
    if not secret and (file := known.get(FILE_VARIABLE)):
        secret = _content(file)
    if secret and len(secret) < _FEWEST_BYTES:
        raise UsageError(
            f"the secret of a cluster has at least {_FEWEST_BYTES} bytes (got {len(secret)}); "
            "make one with: openssl rand -hex 32"
        )
    if not secret and not cluster.is_loopback:
        raise UsageError(
            f"hosts of a cluster beyond loopback must share a secret, and neither {VARIABLE} nor {FILE_VARIABLE} is "
            "set; make one with `openssl rand -hex 32` and set it on every host."
        )
    return secret


def _content(file: str) -> bytes:
    try:
        with Path(file).open("rb") as opened:
            return opened.read(_MOST_BYTES).strip()
    except OSError as error:
        raise UsageError(f"the secret of the cluster cannot be read from {file}: {error.strerror}.") from error
