"""A registry: the bundles of one model in one place, and which of them serves.

    registry.json                     roles and history, changed by compare-and-swap alone
    bundles/<version>/...             each bundle once, under the hash of its content
    shadow/<production>-<shadow>/...  how the two answered live traffic (disagreements.py)

A bundle is verified and opened before it is added. Of two writers at once one is first; the other's change is made
again to what the first has left, or, where it was meant for another production, refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from pileus.bundles.load import holds_bundle, read_bundle, read_whole
from pileus.bundles.manifest import MANIFEST_FILE, MODEL_FILE, Manifest, read_manifest
from pileus.bundles.predictor import Bundle
from pileus.bundles.roles import FOLDER, ROLES_KEY, Action, Event, Roles, folder_of, read_roles
from pileus.bundles.write import joined
from pileus.errors import AlreadyExists, UsageError, VersionConflict
from pileus.spec.values import canonical_json, digest
from pileus.store import open_store, plain_place
from pileus.store.ports import Store

_TRIES = 8
_FEWEST_DIGITS = 4
_MAX_REASON = 500


class Registry:
    """In one store. Errors of the store pass through: StoreError and its kin."""

    def __init__(self, place: str) -> None:
        """UsageError where the store has no compare-and-swap, by which alone two writers can be told apart."""
        self.store: Store = open_store(place)
        if not self.store.abilities.swap:
            raise UsageError(
                f"a registry needs a store with compare-and-swap (got {place}); use a folder, s3:, gs: or az:."
            )

    @property
    def place(self) -> str:
        """As a person would type it."""
        return plain_place(self.store.uri)

    def roles(self) -> Roles:
        """UsageError where there is no registry yet."""
        found = read_roles(self.store)
        if found is None:
            raise UsageError(
                f"there is no registry at {self.place}: it has no {ROLES_KEY}; begin one: "
                f"pileus registry promote {self.place} RUN"
            )
        return found[0]

    def add(self, place: str, reason: str = "") -> Manifest:
        """Copy the bundle or run at `place`; one that is there already is looked at, and mended, and no event.

        UsageError where it is of other classes than the registry's, Damaged where it is not whole.
        """
        manifest, files, written = read_whole(open_store(place))
        found = read_roles(self.store)
        if found is None and holds_bundle(self.store):
            raise UsageError(f"a registry begins in a place of its own (got {self.place}, a bundle's or a run's).")
        _check_classes(found[0] if found else Roles(), manifest)
        Bundle(manifest, files[MODEL_FILE])  # Damaged where the graph does not fit
        for name, content in {**files, MANIFEST_FILE: written}.items():
            self._put(joined(folder_of(manifest.version), name), content)
        if found is None or manifest.version not in {event.version for event in found[0].history}:
            self._change("added", manifest.version, reason, lambda roles: _with_classes(roles, manifest))
        return manifest

    def promote(self, version: str, reason: str = "", *, instead_of: str | None = None) -> Roles:
        """Make a bundle that is here production. `instead_of`: VersionConflict where production is another by now."""
        self.verified(version)

        def edit(roles: Roles) -> Roles:
            if instead_of is not None and roles.production != instead_of:
                present = roles.production[:16] if roles.production else "none"
                raise VersionConflict(
                    f"production of {self.place} is {present} by now, not {instead_of[:16]}; compare with that one."
                )
            return roles.promoted(version)

        return self._change("promoted", version, reason, edit)

    def rollback(self, reason: str = "") -> Roles:
        """The former production is production again. UsageError where there is none."""

        def edit(roles: Roles) -> Roles:
            after = roles.rolled_back()
            assert after.production is not None
            self.verified(after.production)
            return after

        return self._change("rolled back", None, reason, edit)

    def shadow(self, version: str | None, reason: str = "") -> Roles:
        """A bundle that is asked what production was asked; None: none. UsageError where the two cannot be compared."""
        manifest = None if version is None else self.verified(version)

        def edit(roles: Roles) -> Roles:
            if manifest is not None and roles.production is not None:
                check_comparable(self.manifest(roles.production), manifest)
            return roles.shadowed(version)

        return self._change("unshadowed" if version is None else "shadowed", version, reason, edit)

    def keep(self, version: str, reason: str) -> Roles:
        """Note why a candidate was not promoted."""
        return self._change("kept", version, reason, lambda roles: roles)

    def verified(self, version: str) -> Manifest:
        """Of a bundle that is here, of which every byte is as it was written. UsageError where it is not here."""
        return read_bundle(self.store, folder_of(version)).manifest

    def manifest(self, version: str) -> Manifest:
        """What a bundle that is here says of itself; its model is not looked at."""
        key = joined(folder_of(version), MANIFEST_FILE)
        return read_manifest(self.store.get(key).content, f"{self.store.uri}/{key}")

    def bundle(self, version: str, *, threads: int = 1) -> Bundle:
        """Ready to answer; as `load`."""
        manifest, files, _ = read_bundle(self.store, folder_of(version))
        return Bundle(manifest, files[MODEL_FILE], threads=threads)

    def place_of(self, version: str) -> str:
        """Of a bundle that is here, as any other bundle is named."""
        return f"{self.store.uri}/{folder_of(version)}"

    def versions(self) -> list[str]:
        """Of all bundles that are here."""
        keys = self.store.list(FOLDER)
        return [key.split("/")[1] for key in keys if key.endswith(f"/{MANIFEST_FILE}")]

    def find(self, digits: str) -> str | None:
        """The version that begins so, if there is one; UsageError where more do."""
        if len(digits) < _FEWEST_DIGITS or not set(digits) <= set("0123456789abcdef"):
            return None
        found = [version for version in self.versions() if version.startswith(digits)]
        if len(found) > 1:
            raise UsageError(f"{len(found)} versions in {self.place} begin with {digits}; give more of its digits.")
        return found[0] if found else None

    def _put(self, key: str, content: bytes) -> None:
        try:
            self.store.put(key, content, if_absent=True)
        except AlreadyExists:
            if digest(self.store.get(key).content) != digest(content):  # damaged meanwhile: the key fixes the content
                self.store.put(key, content)

    def _change(self, action: Action, version: str | None, reason: str, edit: Callable[[Roles], Roles]) -> Roles:
        """`version` None: whatever is production afterwards, or was the shadow. What changes nothing is no event."""
        for _ in range(_TRIES):
            found = read_roles(self.store)
            before = found[0] if found else Roles()
            after = edit(before)
            if after == before and action not in ("added", "kept"):
                return before
            meant = version or (before.shadow if action == "unshadowed" else after.production)
            assert meant is not None
            after = after.noted(Event(at_s=time.time(), action=action, version=meant, reason=reason[:_MAX_REASON]))
            try:
                if found is None:
                    self.store.put(ROLES_KEY, canonical_json(after), if_absent=True)
                else:
                    self.store.swap(ROLES_KEY, canonical_json(after), found[1])
            except (AlreadyExists, VersionConflict):
                continue
            return after
        raise VersionConflict(f"others changed {self.place} {_TRIES} times meanwhile; nothing was done: try again.")


def check_comparable(production: Manifest, shadow: Manifest) -> None:
    """UsageError unless both read the same questions: a shadow is given what was prepared for production."""
    if production.preprocessing != shadow.preprocessing:
        raise UsageError(
            f"a shadow has the input of production, {production.short_version} (got {shadow.short_version}, prepared "
            "otherwise); compare them by `pileus evaluate` instead."
        )


def _check_classes(roles: Roles, manifest: Manifest) -> None:
    if roles.classes and set(roles.classes) != set(manifest.classes):
        raise UsageError(
            f"a registry holds versions of one model, of one set of classes (got {', '.join(manifest.classes[:5])}, "
            f"not {', '.join(roles.classes[:5])}); name another registry."
        )


def _with_classes(roles: Roles, manifest: Manifest) -> Roles:
    _check_classes(roles, manifest)
    return msgspec.structs.replace(roles, classes=roles.classes or manifest.classes)
