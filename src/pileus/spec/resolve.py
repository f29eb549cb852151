"""From a recipe or file and `--set` pairs to a run's spec, with an error that a user can act on."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar, get_args

import msgspec

from pileus.errors import SpecError
from pileus.spec.run import RunSpec
from pileus.spec.values import Spec

Made = TypeVar("Made", bound=Spec)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """'; did you mean 'x'?' or '; known: ...': the way out for a name that is not known."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=3, cutoff=0.5)
    if near:
        return "did you mean " + " or ".join(repr(name) for name in near) + "?"
    return "known: " + ", ".join(names) + "."


def parse_setting(pair: str) -> tuple[tuple[str, ...], Any]:
    """'a.b=value' as (('a', 'b'), value); the value is JSON where it reads as such, else text."""
    path, separator, text = pair.partition("=")
    parts = tuple(path.strip().split("."))
    if not separator or not all(parts):
        raise SpecError(f"a setting is NAME=VALUE (got {pair!r}); for example --set optimizer.lr=0.1")
    try:
        return parts, msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return parts, text


def split_engine(text: str) -> tuple[str, str | None]:
    """NAME or NAME@ADDRESS, as `--engine` takes it."""
    name, _, address = text.partition("@")
    return name, address or None


def resolve(base: Mapping[str, Any], settings: Iterable[tuple[tuple[str, ...], Any]] = ()) -> RunSpec:
    """The spec of `base` (a recipe's or file's table) with the settings laid over it, in order."""
    tree: dict[str, Any] = msgspec.to_builtins(base, str_keys=True)
    for path, value in settings:
        _lay(tree, path, value)
    return spec_of(tree, RunSpec)


def spec_of(table: dict[str, Any], kind: type[Made]) -> Made:
    """The spec of this kind with the settings of a table of plain values. SpecError with the setting's name."""
    _name_default_members(table, kind)
    try:
        return msgspec.convert(table, kind, str_keys=True)
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, SpecError):
            raise error.__cause__ from None
        raise SpecError(_explained(str(error), table, kind)) from None


def _lay(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    *parents, last = path
    table = tree
    for name in parents:
        if table.get(name) is None:
            table[name] = {}
        below = table[name]
        if not isinstance(below, dict):
            raise SpecError(f"{'.'.join(path)} is below a plain value ({name}={below!r}); set {name} itself.")
        table = below
    if last == "name" and parents and table.get("name", value) != value:
        # Another member of a family: the settings of the former member do not carry over.
        table.clear()
    table[last] = value


def _name_default_members(tree: dict[str, Any], kind: type[Spec]) -> None:
    """A family's table that names no member is of the default one."""
    for field in msgspec.structs.fields(kind):
        table = tree.get(field.encode_name)
        for member in _members(field.type):
            tag_field, tag = member.__struct_config__.tag_field, member.__struct_config__.tag
            if member is field.default_factory and tag_field and isinstance(table, dict):
                table.setdefault(tag_field, tag)


def _explained(message: str, tree: Mapping[str, Any], kind: type[Spec]) -> str:
    """msgspec's message, with its path in the words of --set, what was got, and the values or names to choose from."""
    what, _, where = message.partition(" - at `")
    place = where.rstrip("`").removeprefix("$").removeprefix(".")
    if what.startswith("Object contains unknown field"):
        unknown = what.split("`")[1]
        name = f"{place}.{unknown}" if place else unknown
        if name in setting_names(kind):
            return f"setting {name!r} belongs to another {place}; choose that one first: --set {place}.name=NAME"
        return f"no setting is called {name!r}; {did_you_mean(name, setting_names(kind))}"
    if what.startswith("Object missing required field"):
        name = f"{place}.{what.split('`')[1]}".removeprefix(".")
        return f"every spec has a setting {name!r} (got none); give it in the file or by --set."
    got: Any = tree
    for name, number in re.findall(r"([^.\[]+)|\[(\d+)\]", place):
        if number:
            got = got[int(number)] if isinstance(got, Sequence) and int(number) < len(got) else None
        else:
            got = got.get(name) if isinstance(got, Mapping) else None
    if what.startswith("Invalid"):
        return f"setting {place} is one of {', '.join(_choices(kind, place.split('.'), tree))} (got {got!r})."
    return f"setting {place or 'of the run'}: {what[0].lower()}{what[1:]} (got {got!r})."


def _choices(kind: Any, path: list[str], tree: Any) -> list[str]:
    """The values that a setting with a fixed choice can take; in a family, of the member that is chosen."""
    table = tree.get(path[0]) if isinstance(tree, Mapping) else None
    for field in msgspec.structs.fields(kind):
        members = _members(field.type)
        if field.encode_name == path[0] and not members:
            return [str(choice) for choice in get_args(field.type)]
        if field.encode_name == path[0]:
            configs = [member.__struct_config__ for member in members]
            tags = [str(config.tag) for config in configs if config.tag_field == path[1]]
            chosen = [member for member in members if _is_chosen(member, table)] or members
            return tags or [choice for member in chosen for choice in _choices(member, path[1:], table)]
    return []


def _is_chosen(member: type[msgspec.Struct], table: Any) -> bool:
    config = member.__struct_config__
    return isinstance(table, Mapping) and config.tag_field is not None and table.get(config.tag_field) == config.tag


def setting_names(kind: type[Spec] = RunSpec) -> list[str]:
    """Every name that `--set` takes, of every member of each family."""
    return sorted(set(_names(kind, "")))


def _names(kind: Any, prefix: str) -> Iterable[str]:
    for field in msgspec.structs.fields(kind):
        members = _members(field.type)
        name = prefix + field.encode_name
        if not members:
            yield name
        for member in members:
            if member.__struct_config__.tag_field:
                yield f"{name}.{member.__struct_config__.tag_field}"
            yield from _names(member, f"{name}.")


def _members(kind: Any) -> list[type[msgspec.Struct]]:
    """The structs that a field of this type may hold; none for plain values."""
    kinds = get_args(kind) or (kind,)
    return [member for member in kinds if isinstance(member, type) and issubclass(member, msgspec.Struct)]
