"""Training on GPUs, as far as this machine has any: docs/internals/gpu.md says how to run it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from pileus.data.batches import Microbatch
from pileus.engines import connect
from pileus.engines.ports import Engine
from pileus.errors import WorkFailed
from pileus.models.registry import NETWORKS, build
from pileus.operations.runs import find_run, verify_run
from pileus.operations.train import TrainResult, resume, train
from pileus.recipes.load import load_recipe
from pileus.spec.job import Fault
from pileus.spec.resolve import parse_setting, resolve
from pileus.training.device import HOST, Device, explained, open_device
from pileus.training.gradient import NUM_TOTALS, Lane
from pileus.training.layout import Layout, gather
from pileus.training.tree import Vector

NUM_GPUS = torch.cuda.device_count() if torch.cuda.is_available() else 0
EPOCHS = 4
LEARNT = 0.88
"""As tests/contracts/test_strategies.py has it."""
BAND = 0.03

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.timeout(600),
    pytest.mark.skipif(NUM_GPUS == 0, reason="no GPU that torch can reach"),
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = connect("local")
    yield engine
    engine.close()


def trained(runs: str, engine: Engine, *pairs: str, name: str, faults: tuple[Fault, ...] = ()) -> TrainResult:
    words = ("device=cuda", f"epochs={EPOCHS}", "lanes=1", *pairs)
    spec = resolve(load_recipe("digits_cnn"), [parse_setting(word) for word in words])
    return train(spec, runs=runs, name=name, engine=engine, faults=faults)


def test_exact_is_the_same_bits_for_any_number_of_workers_each_time(runs: str, engine: Engine) -> None:
    results = [trained(runs, engine, f"workers={workers}", name=f"exact-{n}") for n, workers in enumerate((1, 2, 3, 1))]
    assert len({result.fingerprint for result in results}) == 1
    served = ("workers=2", "strategy.name=parameter_server", "strategy.servers=2")
    assert trained(runs, engine, *served, name="served").fingerprint == results[0].fingerprint


@pytest.mark.parametrize(
    "settings",
    [
        ("workers=2",),
        ("workers=2", "precision=auto"),
        ("workers=2", "strategy.mode=fast"),
        ("workers=2", "strategy.name=local_sgd", "strategy.steps=4"),
        ("workers=2", "strategy.name=parameter_server", "strategy.mode=async"),
        ("evaluators=1", "data.validation=0.1"),
    ],
    ids=["exact", "bf16", "fast", "local_sgd", "async", "evaluator"],
)
def test_it_learns_as_on_the_processor(
    settings: tuple[str, ...], runs: str, engine: Engine, request: pytest.FixtureRequest
) -> None:
    name = f"learns-{request.node.callspec.id}"
    result = trained(runs, engine, *settings, name=name)
    reference = trained(runs, engine, *settings, "precision=fp32", "device=cpu", name=f"{name}-cpu")
    assert result.accuracy is not None
    assert reference.accuracy is not None
    assert result.accuracy > LEARNT
    assert abs(result.accuracy - reference.accuracy) < BAND
    assert verify_run(find_run(name, runs)).faults == ()


@pytest.mark.parametrize(("first", "then"), [("cpu", "cuda"), ("cuda", "cpu")])
def test_a_run_goes_on_on_another_device(first: str, then: str, runs: str, engine: Engine) -> None:
    name = f"from-{first}"
    settings = (f"device={first}", "engine.max_restarts=0", "workers=2")
    with pytest.raises(WorkFailed, match="rank 1 was lost"):
        trained(runs, engine, *settings, name=name, faults=(Fault(kind="kill_worker", rank=1, step=30),))
    result = resume(f"{runs}/{name}", device=then, engine=engine)
    assert result.accuracy is not None
    assert result.accuracy > LEARNT
    assert verify_run(find_run(name, runs)).faults == ()


@pytest.mark.skipif(NUM_GPUS < 2, reason="NCCL wants a GPU for each of two workers")
def test_fast_over_nccl(runs: str, engine: Engine) -> None:
    result = trained(runs, engine, "workers=2", "strategy.mode=fast", name="nccl")
    assert result.accuracy is not None
    assert result.accuracy > LEARNT


@pytest.fixture
def gpu() -> Iterator[Device]:
    """With the settings of exact training in this process."""
    yield open_device(resolve(load_recipe("digits_cnn"), [parse_setting("device=cuda")]), 0)
    torch.use_deterministic_algorithms(False)


def gradient_of(model: str, side: int, device: Device) -> Vector:
    network = build(model, (side, side, 3), 10, 0)
    layout = Layout.of(network)
    generator = np.random.default_rng(1)
    samples = Microbatch(generator.integers(0, 256, (16, side, side, 3), np.uint8), generator.integers(0, 10, 16))
    into = device.vector(layout.num_summed + NUM_TOTALS)
    lane = Lane(network, layout, gather(network, layout), 0.1, device=device)
    lane.renew()
    lane.gradient(samples, (0, 0, 0), into)
    return into


@pytest.mark.filterwarnings("ignore:adaptive_max_pool2d_backward_cuda does not have a deterministic")
@pytest.mark.parametrize("model", NETWORKS)
def test_a_networks_gradient_is_the_same_bits_each_time(model: str, gpu: Device) -> None:
    """Any other kernel of which torch warns that it varies fails this, as every warning does."""
    side = max(32, NETWORKS[model].smallest_side_px)
    first = gradient_of(model, side, gpu)
    for _ in range(3):
        np.testing.assert_array_equal(gradient_of(model, side, gpu), first)


@pytest.mark.filterwarnings("ignore:adaptive_max_pool2d_backward_cuda does not have a deterministic")
@pytest.mark.parametrize("model", ["digits_cnn", "resnet9", "resnet18"])
def test_a_gradient_is_the_processors_but_for_rounding(model: str, gpu: Device) -> None:
    """Of networks without dropout, whose drawings differ."""
    ours, theirs = gradient_of(model, 32, gpu), gradient_of(model, 32, HOST)
    assert np.linalg.norm(ours - theirs) < 1e-3 * np.linalg.norm(theirs)


def test_a_memory_that_is_full_is_told_with_the_way_out(gpu: Device) -> None:
    torch.cuda.set_per_process_memory_fraction(1e-3)
    try:
        with pytest.raises(RuntimeError) as told:
            gradient_of("vgg19", 512, gpu)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert "lower microbatch_size" in str(explained(told.value, resolve(load_recipe("digits_cnn"))))
