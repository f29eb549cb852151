"""What a served place tells: changes of a registry by themselves, a bundle's when it is asked."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pileus.bundles import Calibration, write_bundle
from pileus.bundles.export import export_onnx
from pileus.bundles.registry import Registry
from pileus.bundles.roles import ROLES_KEY, Roles, folder_of
from pileus.errors import Damaged, PileusError, UsageError
from pileus.serving.watching import Found, Watcher
from pileus.spec.preprocessing import Drawing
from pileus.spec.values import canonical_json
from pileus.store import open_store
from tests.unit.bundles.nets import SmallNet, describe

_LOOK_S = 0.005


@pytest.fixture
def registry(bundle_folder: Path, tmp_path: Path) -> Registry:
    registry = Registry(str(tmp_path / "registry"))
    registry.promote(registry.add(str(bundle_folder)).version)
    return registry


@pytest.fixture(scope="module")
def another(tmp_path_factory: pytest.TempPathFactory) -> str:
    return _bundle(tmp_path_factory.mktemp("another"), Drawing())


@pytest.fixture(scope="module")
def prepared_otherwise(tmp_path_factory: pytest.TempPathFactory) -> str:
    return _bundle(tmp_path_factory.mktemp("otherwise"), Drawing(box=22.0))


def _bundle(folder: Path, preprocessing: Drawing) -> str:
    description = describe(preprocessing, calibration=Calibration(temperature=2.0))
    write_bundle(open_store(folder), "", export_onnx(SmallNet(), 28, 28, 1), description)
    return str(folder)


class Watched:
    def __init__(self, place: str) -> None:
        self.watcher = Watcher(place, _LOOK_S)
        self.first = self.watcher.read_first()
        self._woken = threading.Event()

    def news(self) -> Found | PileusError:
        while not self.watcher.news:
            assert self._woken.wait(20)
            self._woken.clear()
        return self.watcher.news.popleft()

    def found(self) -> Found:
        news = self.news()
        assert isinstance(news, Found)
        return news

    @contextmanager
    def watching(self) -> Iterator[None]:
        self.watcher.start(self._woken.set)
        try:
            yield
        finally:
            self.watcher.stop()


def test_a_registry_is_noticed_to_change(registry: Registry, another: str) -> None:
    watched = Watched(registry.place)
    former = registry.roles().production
    assert watched.first.production.manifest.version == former and watched.first.registry == registry.store.uri
    with watched.watching():
        version = registry.add(another).version
        registry.shadow(version)
        found = watched.found()
        assert found.shadow is not None and found.shadow.manifest.version == version
        registry.promote(version)
        found = watched.found()
        assert (found.production.manifest.version, found.shadow) == (version, None)
        registry.rollback()
        assert watched.found().production.manifest.version == former
        assert not watched.watcher.news


def test_a_broken_production_is_told_and_mended_by_the_next(registry: Registry, another: str) -> None:
    version = registry.add(another).version
    model = f"{folder_of(version)}/model.onnx"
    content = registry.store.get(model).content
    watched = Watched(registry.place)
    with watched.watching():
        roles = registry.roles().promoted(version)
        registry.store.put(model, b"broken")
        _write(registry, roles)
        assert isinstance(watched.news(), Damaged)
        registry.store.put(model, content)
        watched.watcher.look()
        news = watched.news()
        while not isinstance(news, Found):
            news = watched.news()
        assert news.production.manifest.version == version


def test_a_shadow_that_cannot_be_read_or_compared_is_left_out(
    registry: Registry, another: str, prepared_otherwise: str, caplog: pytest.LogCaptureFixture
) -> None:
    version = registry.add(another).version
    registry.shadow(version)
    registry.store.put(f"{folder_of(version)}/model.onnx", b"broken")
    assert Watched(registry.place).first.shadow is None
    assert "the shadow is left out" in caplog.text
    caplog.clear()
    _write(registry, registry.roles().shadowed(registry.add(prepared_otherwise).version))
    assert Watched(registry.place).first.shadow is None
    assert "prepared otherwise" in caplog.text


def test_a_bundle_is_read_again_when_asked(bundle_folder: Path, another: str, tmp_path: Path) -> None:
    place = tmp_path / "place"
    shutil.copytree(bundle_folder, place)
    watched = Watched(str(place))
    assert watched.first.registry is None and watched.first.shadow is None
    with watched.watching():
        shutil.copytree(another, place, dirs_exist_ok=True)
        watched.watcher.look()
        assert watched.found().production.manifest.version != watched.first.production.manifest.version
        shutil.rmtree(place)
        watched.watcher.look()
        assert isinstance(watched.news(), UsageError)


def _write(registry: Registry, roles: Roles) -> None:
    """As no command would."""
    registry.store.put(ROLES_KEY, canonical_json(roles))
