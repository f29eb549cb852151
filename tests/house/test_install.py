"""What `make` calls to install: every version is pinned, and each refusal says what is missing and the way out."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.house.tree import ROOT

_NAME = re.compile(r"^[A-Za-z0-9._-]+")


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def run(script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["/bin/sh", script, *arguments], env=environment, capture_output=True, text=True, timeout=60)


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder for PATH with the plain tools of any machine: no Python, no browser, no package tool.

    They are called, not linked: a test that replaces one must not write through a link to the machine's own.
    """
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "sed", "grep", "id", "dirname", "cat", "rm", "cksum"):
        program(folder, name, f'exec {shutil.which(name)} "$@"')
    return folder


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout without an environment."""
    folder = tmp_path / "checkout"
    shutil.copytree(ROOT / "scripts", folder / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    return folder


def program(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    (folder / name).chmod(0o755)


def test_every_dependency_is_pinned_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [normal(line.partition("==")[0]) for line in lines if line and not line.startswith("#")]
    assert len(pins) == len(set(pins))
    names = {normal(found.group()) for each in wanted if (found := _NAME.match(each))}
    assert names <= set(pins), "pin it in constraints.txt"


def test_without_python_the_message_says_what_is_needed(checkout: Path, tools: Path) -> None:
    ended = run(str(checkout / "scripts/environment.sh"), "train", PATH=str(tools))
    assert ended.returncode == 1
    assert "Python 3.11 or newer is needed" in ended.stderr
    assert not (checkout / ".venv").exists()


def test_a_python_that_is_too_old_is_not_chosen(checkout: Path, tools: Path) -> None:
    program(tools, "python3", "exit 1")
    ended = run(str(checkout / "scripts/environment.sh"), "train", PATH=str(tools))
    assert ended.returncode == 1
    assert "none was found" in ended.stderr


def test_a_python_that_can_make_no_environment_is_told(checkout: Path, tools: Path) -> None:
    program(tools, "python3", 'case "$2" in *version_info*) exit 0;; esac; exit 1')
    ended = run(str(checkout / "scripts/environment.sh"), "train", PATH=str(tools))
    assert ended.returncode == 1
    assert "install python3-venv or python3-pip" in ended.stderr


def test_a_service_that_is_there_is_left_alone(tools: Path) -> None:
    program(tools, "chromium", "exit 0")
    ended = run(str(ROOT / "scripts/services.sh"), "chromium", PATH=str(tools))
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_service_that_cannot_be_installed_is_told(tools: Path) -> None:
    ended = run(str(ROOT / "scripts/services.sh"), PATH=str(tools))
    assert ended.returncode == 3
    assert "missing: chromium" in ended.stderr


def test_an_unknown_service_is_refused(tools: Path) -> None:
    ended = run(str(ROOT / "scripts/services.sh"), "chromuim", PATH=str(tools))
    assert ended.returncode == 2
    assert "there is no service chromuim; there are: chromium" in ended.stderr


def test_services_are_installed_where_that_is_possible(tools: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    program(tools, "id", "echo 0")
    program(tools, "true", "exit 0")
    program(tools, "chmod", f'exec {shutil.which("chmod")} "$@"')
    makes_chromium = f"echo '#!/bin/sh' > {tools}/chromium; chmod +x {tools}/chromium"
    program(tools, "apt-get", f'echo "$@" >> {log}; {makes_chromium}')
    ended = run(str(ROOT / "scripts/services.sh"), "chromium", PATH=str(tools))
    assert ended.returncode == 0, ended.stderr
    assert log.read_text(encoding="utf-8").splitlines()[-1].endswith(" chromium")


def test_an_installation_that_brought_nothing_is_told(tools: Path) -> None:
    for name, text in (("id", "echo 0"), ("true", "exit 0"), ("apt-get", "exit 0")):
        program(tools, name, text)
    ended = run(str(ROOT / "scripts/services.sh"), "chromium", PATH=str(tools))
    assert ended.returncode == 3
    assert "still not to be found" in ended.stderr


def test_a_service_that_debian_has_not_is_built_by_its_own_tool(tools: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    (kept / "bin").mkdir(parents=True)
    for name in ("chmod", "touch"):
        program(tools, name, f'exec {shutil.which(name)} "$@"')
    program(tools, "go", 'touch "$GOBIN/minio"; chmod +x "$GOBIN/minio"')
    ended = run(str(ROOT / "scripts/services.sh"), "minio", PATH=str(tools), PILEUS_SERVICES=str(kept))
    assert ended.returncode == 0, ended.stderr


def test_a_tool_that_builds_and_is_missing_is_told(tools: Path, tmp_path: Path) -> None:
    ended = run(str(ROOT / "scripts/services.sh"), "minio", PATH=str(tools), PILEUS_SERVICES=str(tmp_path))
    assert ended.returncode == 3
    assert "Go 1.24 or newer, which is not on PATH" in ended.stderr


@pytest.mark.parametrize("fit", [True, False])
def test_tensorflow_gets_an_environment_of_its_own_from_a_python_that_it_has_wheels_for(
    fit: bool, checkout: Path, tools: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    for name in ("mkdir", "mv", "chmod"):
        program(tools, name, f'exec {shutil.which(name)} "$@"')
    makes = 'for place in "$@"; do :; done; mkdir -p "$place/bin"; echo "#!/bin/sh" > "$place/bin/python"'
    says = f'echo "$@" >> {log}; case "$2" in venv) {makes}; chmod +x "$place/bin/python";; esac'
    program(tools, "python3.12", f'case "$1" in -c) exit {0 if fit else 1};; esac; {says}')
    kept = tmp_path / "kept"
    ended = run(str(checkout / "scripts/services.sh"), "tensorflow", PATH=str(tools), PILEUS_SERVICES=str(kept))
    if not fit:
        assert ended.returncode == 3
        assert "wheels for Python 3.10 to 3.13" in ended.stderr
        return
    assert ended.returncode == 0, ended.stderr
    installed = log.read_text(encoding="utf-8").splitlines()[-1]
    assert f"--python {kept}/tensorflow-cpu-" in installed
    assert re.search(r"tensorflow-cpu==[\d.]+$", installed)
    assert not list(kept.glob("*.part"))
