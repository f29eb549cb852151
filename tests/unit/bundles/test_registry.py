"""A registry under two writers, damage and wrong use: in memory, with real bundles."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import count

import msgspec
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pileus.bundles import BundleDescription, load, write_bundle
from pileus.bundles.export import export_onnx
from pileus.bundles.registry import Registry
from pileus.bundles.roles import MAX_FORMER, MAX_HISTORY, ROLES_KEY, Event, Roles, folder_of, read_roles
from pileus.errors import Damaged, StoreError, UsageError, VersionConflict
from pileus.spec.preprocessing import Drawing, Picture
from pileus.spec.values import canonical_json, digest
from pileus.store import open_store
from tests.unit.bundles.nets import SmallNet, describe

_numbers = count()
VERSIONS = [f"{number:064x}" for number in range(4)]


@pytest.fixture(scope="session")
def other_onnx() -> bytes:
    net = SmallNet()
    with torch.no_grad():
        net.dense.weight.neg_()
    return export_onnx(net, 28, 28, 1)


@pytest.fixture
def registry() -> Registry:
    return Registry(f"memory:registry-{next(_numbers)}")


@pytest.fixture
def made(onnx: bytes, other_onnx: bytes) -> list[str]:
    """Places of two bundles of one model."""
    places = []
    for content in (onnx, other_onnx):
        places.append(f"memory:bundle-{next(_numbers)}")
        write_bundle(open_store(places[-1]), "", content, describe())
    return places


def test_promotion_rollback_and_shadow(registry: Registry, made: list[str]) -> None:
    first, second = (registry.add(place, "trained").version for place in made)
    with pytest.raises(UsageError, match="has no production yet"):
        load(registry.store.uri)
    registry.promote(first)
    assert load(registry.store.uri).manifest.version == first
    assert registry.shadow(second).shadow == second
    roles = registry.promote(second, "better")
    assert (roles.production, roles.shadow, roles.former) == (second, None, (first,))
    roles = registry.rollback("worse after all")
    assert (roles.production, roles.former) == (first, ())
    with pytest.raises(UsageError, match="nothing to roll back to"):
        registry.rollback()
    assert [event.action for event in registry.roles().history] == [
        "rolled back", "promoted", "shadowed", "promoted", "added", "added",
    ]  # fmt: skip
    assert registry.roles().history[0].reason == "worse after all"
    assert load(registry.store.uri).manifest.version == first


def test_what_changes_nothing_is_no_event(registry: Registry, made: list[str]) -> None:
    version = registry.add(made[0]).version
    registry.add(made[0])
    registry.promote(version)
    before = registry.store.get(ROLES_KEY)
    registry.promote(version)
    registry.shadow(None)
    assert registry.store.get(ROLES_KEY) == before
    assert registry.versions() == [version] and registry.find(version[:6]) == version and registry.find("first") is None


def test_a_damaged_bundle_is_refused_and_mended_by_adding_it_again(registry: Registry, made: list[str]) -> None:
    version = registry.add(made[0]).version
    registry.store.put(f"{folder_of(version)}/model.onnx", b"damaged")
    with pytest.raises(Damaged, match=r"model\.onnx was changed"):
        registry.promote(version)
    assert registry.roles().production is None
    registry.add(made[0])
    assert registry.promote(version).production == version
    open_store(made[1]).put("model.onnx", b"damaged")
    with pytest.raises(Damaged):
        registry.add(made[1])
    assert registry.versions() == [version]


def test_a_graph_that_does_not_fit_is_not_added(registry: Registry) -> None:
    store = open_store(f"memory:bundle-{next(_numbers)}")
    write_bundle(store, "", export_onnx(SmallNet(classes=3), 28, 28, 1), describe())
    with pytest.raises(Damaged, match="does not fit its manifest"):
        registry.add(store.uri)
    assert registry.store.list() == []


def test_wrong_use_says_the_way_out(registry: Registry, made: list[str]) -> None:
    with pytest.raises(UsageError, match="there is no registry at"):
        registry.roles()
    with pytest.raises(UsageError, match="there is no bundle at"):
        registry.promote(VERSIONS[1])
    with pytest.raises(UsageError, match="a place of its own"):
        Registry(made[0]).add(made[1])
    version = registry.add(made[0]).version
    registry.promote(version)
    with pytest.raises(UsageError, match="no shadow of itself"):
        registry.shadow(version)
    with pytest.raises(VersionConflict, match="by now"):
        registry.promote(version, instead_of=VERSIONS[1])
    letters = BundleDescription(name="letters", classes=("a", "b"), preprocessing=Drawing())
    place = open_store(f"memory:bundle-{next(_numbers)}")
    write_bundle(place, "", export_onnx(SmallNet(classes=2), 28, 28, 1), letters)
    with pytest.raises(UsageError, match="of one set of classes"):
        registry.add(place.uri)
    picture = open_store(f"memory:bundle-{next(_numbers)}")
    write_bundle(picture, "", export_onnx(SmallNet(16, 24, 3), 16, 24, 3), describe(Picture(height=16, width=24)))
    with pytest.raises(UsageError, match="prepared otherwise"):
        registry.shadow(registry.add(picture.uri).version)


def test_a_manifest_from_before_a_field_was_known_is_copied_as_it_was_written(registry: Registry, onnx: bytes) -> None:
    store = open_store(f"memory:bundle-{next(_numbers)}")
    manifest = msgspec.json.decode(canonical_json(write_bundle(store, "", onnx, describe())))
    del manifest["none"]
    manifest["version"] = ""
    version = manifest["version"] = digest(canonical_json(manifest))
    store.put("manifest.json", canonical_json(manifest))
    assert registry.add(store.uri).version == version
    registry.promote(version)
    assert load(registry.store.uri).manifest.version == version


@pytest.mark.parametrize("content", [b"", b"{}x", b"[" * 10_000, b'{"production": "../../etc"}', b'{"format": 2}'])
def test_what_is_no_registry_is_damage(registry: Registry, content: bytes) -> None:
    registry.store.put(ROLES_KEY, content)
    with pytest.raises(Damaged, match="no registry as Pileus writes it"):
        registry.roles()


def test_of_writers_at_once_none_is_lost(registry: Registry, made: list[str]) -> None:
    """Each change is there once, in some order, and production is what the last one says."""
    first, second = (registry.add(place).version for place in made)
    failures: list[StoreError] = []

    def change(version: str) -> None:
        for _ in range(10):
            try:
                registry.keep(version, "compared")
            except VersionConflict as conflict:
                failures.append(conflict)

    threads = [threading.Thread(target=change, args=(version,)) for version in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    kept = [event.version for event in registry.roles().history if event.action == "kept"]
    assert len(kept) + len(failures) == 20


def test_the_later_of_two_promotions_of_one_comparison_is_refused(registry: Registry, made: list[str]) -> None:
    first, second = (registry.add(place).version for place in made)
    registry.promote(first)

    def meanwhile() -> None:
        Registry(registry.store.uri).promote(second)

    _before_next_swap(registry, meanwhile)
    with pytest.raises(VersionConflict, match="by now"):
        registry.promote(second, instead_of=first)
    assert [event.action for event in registry.roles().history].count("promoted") == 2


def test_who_always_comes_second_gives_up(registry: Registry, made: list[str]) -> None:
    version = registry.add(made[0]).version
    other = Registry(registry.store.uri)
    _before_next_swap(registry, lambda: other.keep(version, "quicker"), again=True)
    with pytest.raises(VersionConflict, match="8 times meanwhile; nothing was done"):
        registry.promote(version)
    assert registry.roles().production is None


def test_a_store_without_compare_and_swap_is_refused() -> None:
    with pytest.raises(UsageError, match="compare-and-swap"):
        Registry("http://127.0.0.1:9/registry")


def _before_next_swap(registry: Registry, call: Callable[[], object], *, again: bool = False) -> None:
    """Another writer is quicker, once or always."""
    store = registry.store

    class Slower:
        """The same store for the one writer."""

        def __init__(self) -> None:
            self.done = False

        def __getattr__(self, name: str) -> object:
            return getattr(store, name)

        def swap(self, key: str, content: bytes, version: str) -> str:
            if again or not self.done:
                self.done = True
                call()
            return store.swap(key, content, version)

    registry.store = Slower()  # type: ignore[assignment]


steps = st.lists(
    st.tuples(st.sampled_from(["promote", "rollback", "shadow", "off"]), st.sampled_from(VERSIONS)), max_size=30
)


@given(steps)
@settings(max_examples=60)
def test_production_is_never_its_own_shadow_and_rollbacks_undo_promotions(taken: list[tuple[str, str]]) -> None:
    roles = Roles(classes=("a", "b"))
    stack: list[str] = []
    for step, version in taken:
        try:
            if step == "promote":
                if roles.production not in (None, version):
                    stack.append(str(roles.production))
                roles = roles.promoted(version)
            elif step == "rollback":
                roles = roles.rolled_back()
                assert roles.production == stack.pop()
            else:
                roles = roles.shadowed(version if step == "shadow" else None)
        except UsageError:
            assert (step == "rollback" and not stack) or roles.production == version
        assert roles.production is None or roles.production != roles.shadow
        assert list(roles.former) == stack[::-1]


def test_what_grows_is_bounded() -> None:
    roles = Roles()
    for number in range(300):
        version = f"{number:064x}"
        roles = roles.promoted(version).noted(Event(at_s=0.0, action="promoted", version=version, reason=""))
    assert len(roles.history) == MAX_HISTORY and len(roles.former) == MAX_FORMER
    store = open_store(f"memory:registry-{next(_numbers)}")
    store.put(ROLES_KEY, canonical_json(roles))
    found = read_roles(store)
    assert found is not None and found[0] == roles
