"""Where the secret comes from, and who may do without one."""

from __future__ import annotations

from pathlib import Path

import pytest

from pileus.engines.cluster.environment import parse, printed
from pileus.engines.cluster.secret import read_secret
from pileus.errors import UsageError

SECRET = b"0123456789abcdef"


def test_a_secret_comes_from_a_variable_or_a_file(tmp_path: Path) -> None:
    far = parse(printed(["10.0.0.1"])["chief 0"])
    file = tmp_path / "secret"
    file.write_text("from a file, with a newline\n")
    assert read_secret(far, {"PILEUS_CLUSTER_SECRET": SECRET.decode()}) == SECRET
    assert read_secret(far, {"PILEUS_CLUSTER_SECRET_FILE": str(file)}) == b"from a file, with a newline"
    with pytest.raises(UsageError, match="cannot be read"):
        read_secret(far, {"PILEUS_CLUSTER_SECRET_FILE": str(tmp_path / "none")})
    with pytest.raises(UsageError, match=r"at least 16 bytes \(got 5\)"):
        read_secret(far, {"PILEUS_CLUSTER_SECRET": "short"})


def test_only_loopback_may_do_without_a_secret() -> None:
    assert read_secret(parse(printed(["localhost", "127.0.0.1"])["chief 0"]), {}) == b""
    with pytest.raises(UsageError, match="must share a secret"):
        read_secret(parse(printed(["localhost", "10.0.0.1"])["chief 0"]), {})
