"""Recipes by name, or any TOML or JSON file of the same shape."""

from __future__ import annotations

import importlib.resources
from pathlib import Path
from typing import Any

import msgspec

from pileus.errors import SpecError
from pileus.spec.resolve import did_you_mean

_LARGEST_BYTES = 1 << 20


def recipe_names() -> list[str]:
    folder = importlib.resources.files("pileus.recipes")
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_recipe(name: str) -> dict[str, Any]:
    """The table of a recipe's name or of a file ending in .toml or .json. SpecError with the nearest names."""
    if name.endswith((".toml", ".json")):
        return _parsed(_read(Path(name)), name)
    if name not in recipe_names():
        raise SpecError(f"no recipe is called {name!r}; {did_you_mean(name, recipe_names())}")
    return _parsed((importlib.resources.files("pileus.recipes") / f"{name}.toml").read_bytes(), f"{name}.toml")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_BYTES + 1)
    except OSError as error:
        raise SpecError(f"cannot read the spec file {path}: {error.strerror}.") from error
    if len(content) > _LARGEST_BYTES:
        raise SpecError(f"a spec file has at most {_LARGEST_BYTES} bytes (got more in {path}).")
    return content


def _parsed(content: bytes, name: str) -> dict[str, Any]:
    decode = msgspec.toml.decode if name.endswith(".toml") else msgspec.json.decode
    try:
        table = decode(content)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise SpecError(f"{name} cannot be read: {error}.") from error
    if not isinstance(table, dict):
        raise SpecError(f"{name} must hold a table of settings (got {type(table).__name__}).")
    return table
