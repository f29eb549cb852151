"""Which bundles of a registry have which role, and how they came to it: values, and what may become of them.

Nothing is read or written here but by `read_roles`; a registry's one changing file, `registry.json`, is this value.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from pileus.errors import Damaged, NotFound, UsageError
from pileus.spec.values import Spec
from pileus.store.ports import Blob, Store

ROLES_KEY = "registry.json"
FOLDER = "bundles/"

MAX_HISTORY = 200
MAX_FORMER = 50

Action = Literal["added", "promoted", "rolled back", "shadowed", "unshadowed", "kept"]
Version = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class Event(Spec, frozen=True, kw_only=True):
    at_s: float
    """In seconds since 1970 in UTC."""
    action: Action
    """'kept': a candidate that was not promoted."""
    version: Version
    reason: str


class Roles(Spec, frozen=True, kw_only=True):
    """What `registry.json` says."""

    format: Literal[1] = 1
    classes: tuple[str, ...] = ()
    """Of every bundle, in any order: a registry holds versions of one model. Empty before the first."""
    production: Version | None = None
    shadow: Version | None = None
    """Is asked again what production has answered, to compare; never production itself."""
    former: tuple[Version, ...] = ()
    """What was production before, the newest first: a rollback takes the first."""
    history: tuple[Event, ...] = ()
    """The newest first."""

    def noted(self, event: Event) -> Roles:
        return msgspec.structs.replace(self, history=(event, *self.history)[:MAX_HISTORY])

    def promoted(self, version: str) -> Roles:
        """A shadow that is promoted is no shadow any more."""
        if version == self.production:
            return self
        former = self.former if self.production is None else (self.production, *self.former)[:MAX_FORMER]
        shadow = None if version == self.shadow else self.shadow
        return msgspec.structs.replace(self, production=version, shadow=shadow, former=former)

    def rolled_back(self) -> Roles:
        """UsageError where there was nothing before."""
        if not self.former:
            raise UsageError("there is nothing to roll back to: no other bundle was production here before.")
        version, *former = self.former
        shadow = None if version == self.shadow else self.shadow
        return msgspec.structs.replace(self, production=version, shadow=shadow, former=tuple(former))

    def shadowed(self, version: str | None) -> Roles:
        """None: nothing is. UsageError for production itself."""
        if version is not None and version == self.production:
            raise UsageError(f"{version[:16]} is production, and no shadow of itself; name another bundle.")
        return msgspec.structs.replace(self, shadow=version)


def folder_of(version: str) -> str:
    """The prefix of a bundle in the registry's store."""
    return f"{FOLDER}{version}"


def read_roles(store: Store) -> tuple[Roles, str] | None:
    """With the version to name in `swap`; None where the store is no registry. Damaged where it says nothing clear."""
    try:
        blob = store.get(ROLES_KEY)
    except NotFound:
        return None
    return _decoded(blob, store.uri), blob.version


def _decoded(blob: Blob, uri: str) -> Roles:
    try:
        return msgspec.json.decode(blob.content, type=Roles)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Damaged(f"{uri}/{ROLES_KEY} is no registry as Pileus writes it ({error}); restore it.") from error
