"""From recipes and settings to a spec, and what a user is told on the way."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pileus.errors import SpecError
from pileus.recipes.load import load_recipe, recipe_names
from pileus.spec.optimizer import Adam, Sgd
from pileus.spec.resolve import parse_setting, resolve, setting_names
from pileus.spec.run import LocalSgd, RunSpec, Single
from pileus.spec.values import canonical_json

BASE: dict[str, Any] = {
    "model": "digits_cnn",
    "data": {"source": "embedded:digits"},
    "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.5},
    "batch_size": 64,
    "microbatch_size": 16,
}


def resolved(*pairs: str) -> Any:
    return resolve(BASE, map(parse_setting, pairs))


def test_settings_are_laid_over_the_recipe_in_order() -> None:
    spec = resolved("epochs=3", "optimizer.lr=0.2", "epochs=4", "data.source=/a=b", "optimizer.nesterov=true")
    assert (spec.epochs, spec.data.source) == (4, "/a=b")
    assert spec.optimizer == Sgd(lr=0.2, momentum=0.5, nesterov=True)


def test_another_member_of_a_family_starts_from_its_own_defaults() -> None:
    assert resolved("optimizer.name=adam", "optimizer.lr=0.01").optimizer == Adam(lr=0.01)
    assert resolved("strategy.name=single").strategy == Single()
    assert resolved("optimizer.name=sgd").optimizer == Sgd(lr=0.1, momentum=0.5)


def test_the_base_is_not_written_to() -> None:
    resolved("optimizer.lr=7")
    assert BASE["optimizer"]["lr"] == 0.1


@pytest.mark.parametrize(
    ("pair", "told"),
    [
        ("epochs", "NAME=VALUE"),
        ("=3", "NAME=VALUE"),
        ("epoch=3", "did you mean 'epochs'"),
        ("optimizer.learning_rate=3", "no setting is called 'optimizer.learning_rate'"),
        ("epochs=0", "epochs: expected `int` >= 1"),
        ("epochs=many", "epochs: expected `int`, got `str`"),
        ("epochs.x=1", "epochs"),
        ("data.size=[32,0]", "setting data.size[1]: expected `int` >= 1 (got 0)"),
        ("optimizer.lr=-1", "optimizer.lr: expected `float` > 0.0"),
        ("optimizer.lr=NaN", "optimizer.lr"),
        ("optimizer.name=sdg", "optimizer.name"),
        ("schedule=linear", "schedule"),
        ("workers=5", "workers must be in [1, microbatches] (got workers=5, microbatches=4)"),
        ("microbatch_size=65", "microbatch_size must be at most batch_size"),
        ("model.x=3", "below a plain value"),
        ("batch_growth.3=8", "batch sizes of at least microbatch_size (got 3: 8, microbatch_size=16)"),
        ("batch_growth.-1=64", "(got -1: 64"),
        ("batch_growth.two=64", "batch_growth"),
        ("batch_growth.2=many", "batch_growth"),
    ],
)
def test_a_bad_setting_is_told_in_a_line_or_two(pair: str, told: str) -> None:
    with pytest.raises(SpecError) as raised:
        resolved(pair)
    assert told in str(raised.value)
    assert len(str(raised.value).splitlines()) <= 2


def test_a_setting_is_laid_below_one_that_a_whole_spec_has_as_none() -> None:
    whole = msgspec.to_builtins(resolved())
    assert whole["transfer"] is None
    spec = resolve(whole, [parse_setting("transfer.bundle=shared/digits")])
    assert spec.transfer is not None and spec.transfer.bundle == "shared/digits"


def test_a_batch_grows_from_an_epoch_on() -> None:
    spec = resolved("batch_growth.3=256", "batch_growth.10=512")
    assert spec.batch_growth == {3: 256, 10: 512}
    assert msgspec.json.decode(canonical_json(spec), type=RunSpec) == spec
    assert resolve(msgspec.to_builtins(spec)) == spec


def test_workers_are_at_most_the_microbatches_of_the_smallest_batch() -> None:
    assert resolved("batch_growth.3=256", "workers=4").workers == 4
    with pytest.raises(SpecError, match="got workers=4, microbatches=2"):
        resolved("batch_growth.3=32", "workers=4")


def test_what_is_averaged_once_cannot_stop_early() -> None:
    once = ("strategy.name=local_sgd", "strategy.steps=null")
    assert resolved(*once).strategy == LocalSgd(steps=None)
    for pair in ("early_stop.patience=2", "checkpoints.keep_best=true"):
        with pytest.raises(SpecError, match="nothing to validate before it"):
            resolved(*once, pair)


def test_mirror_images_are_asked_about_where_they_are_learnt() -> None:
    assert resolved("average_mirrored=true", "augment.flip=0.5").average_mirrored
    with pytest.raises(SpecError, match=r"set augment\.flip=0\.5 or average_mirrored=false"):
        resolved("average_mirrored=true")


def test_single_has_one_worker() -> None:
    with pytest.raises(SpecError, match="'single' has one worker"):
        resolved("strategy.name=single", "workers=2")


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_resolves_and_takes_four_workers(name: str) -> None:
    spec = resolve(load_recipe(name), [(("workers",), 4)])
    assert spec.num_microbatches >= 4


def test_every_setting_name_can_be_set() -> None:
    assert {"epochs", "optimizer.name", "optimizer.lr", "strategy.mode", "engine.name", "seed"} <= set(setting_names())


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(SpecError, match="did you mean 'mnist_cnn'"):
        load_recipe("mnist_cn")
