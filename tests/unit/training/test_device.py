"""A network that is apart from the state computes the same: what holds on a GPU is shown on the processor.

What only a GPU can show is in tests/gpu.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.distributed as dist

from pileus.data.batches import Microbatch
from pileus.data.transforms.mix import Pairs
from pileus.errors import MissingService, UsageError
from pileus.models.registry import build
from pileus.operations.begin import settle_device, settle_precision
from pileus.operations.observer import Silent
from pileus.operations.train import train
from pileus.spec.resolve import parse_setting, resolve
from pileus.spec.run import RunSpec
from pileus.training import device as device_module
from pileus.training.device import HOST, Device, explained, open_device
from pileus.training.exchange.ports import Alone
from pileus.training.exchange.threads import Meeting
from pileus.training.gradient import NUM_TOTALS, Computes, Lane, Totals
from pileus.training.layout import Layout, aligned_zeros, gather
from pileus.training.network import Problem
from pileus.training.seat import Gathering
from pileus.training.strategies.fast import _backend
from pileus.training.strategies.make import make_learner
from pileus.training.strategies.ports import Task
from pileus.training.tree import Vector

APART = Device(torch.device("cpu"), is_apart=True)
SAMPLES, CLASSES = 8, 5


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def spec_of(*pairs: str) -> RunSpec:
    base = {"model": "digits_cnn", "data": {"source": "x"}}
    return resolve(base, [parse_setting(pair) for pair in pairs])


def microbatch(shape_HWC: tuple[int, int, int], seed: int, *, mixed: bool = False) -> Microbatch:
    generator = np.random.default_rng(seed)
    images_NHWC = generator.integers(0, 256, (SAMPLES, *shape_HWC), np.uint8)
    labels_N, partners_N = generator.integers(0, CLASSES, (2, SAMPLES), np.int64)
    weights_N = generator.random(SAMPLES, np.float32)
    return Microbatch(images_NHWC, labels_N, Pairs(partners_N, weights_N) if mixed else None)


@pytest.mark.parametrize(
    ("model", "shape_HWC", "bf16"),
    [
        ("mnist_cnn", (10, 10, 1), False),  # parameters alone
        ("resnet9", (16, 16, 3), True),  # norm layers
        ("photo_cnn", (32, 32, 3), False),  # norm layers and dropout
    ],
)
def test_a_gradient_is_the_same_bits(model: str, shape_HWC: tuple[int, int, int], bf16: bool) -> None:
    samples = microbatch(shape_HWC, 1, mixed=True)
    given: list[tuple[Vector, Vector]] = []
    for device in (HOST, APART):
        network = build(model, shape_HWC, CLASSES, 0)
        layout = Layout.of(network)
        state = gather(network, layout)
        lane = Lane(network, layout, state, 0.1, bf16=bf16, device=device)
        state *= np.float32(1.25)
        lane.renew()
        gradient, evaluation = aligned_zeros(layout.num_summed + NUM_TOTALS), aligned_zeros(NUM_TOTALS)
        gradient[:] = np.nan
        lane.gradient(samples, (0, 3, 1), gradient)
        lane.evaluate(samples, evaluation)
        given.append((gradient, evaluation))
    for mine, other in zip(*given, strict=True):
        assert np.isfinite(mine).all()
        np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize(
    "settings",
    [
        ("model=photo_cnn", "ema=0.9"),
        ("strategy.name=local_sgd", "strategy.steps=2", "strategy.compression=int8"),
    ],
    ids=["exact", "local_sgd"],
)
def test_steps_end_with_the_same_weights(settings: tuple[str, ...]) -> None:
    shape_HWC = (32, 32, 1) if "model=photo_cnn" in settings else (12, 12, 1)
    spec, problem = spec_of(*settings), Problem(shape_HWC, CLASSES)

    def leaf(lane: Computes, index: int, into: Vector) -> None:
        lane.gradient(microbatch(shape_HWC, index), (0, 0, index), into)

    def evaluation(lane: Computes, index: int, into: Vector) -> None:
        lane.evaluate(microbatch(shape_HWC, index), into)

    def learnt(device: Device) -> tuple[str, Totals, Totals]:
        learner = make_learner(spec, problem, Gathering(Alone()), 1, device)
        try:
            for step in range(3):
                totals = learner.step(Task(step, 3, 3 * SAMPLES, 0.05), leaf)
            learner.settle()
            return learner.fingerprint(), totals, learner.evaluate(2, evaluation)
        finally:
            learner.close()

    assert learnt(HOST) == learnt(APART)


def test_one_gpu_has_one_lane() -> None:
    assert (HOST.num_lanes(8), APART.num_lanes(8)) == (8, 1)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> list[torch.device]:
    """What this process is told to compute on."""
    chosen: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (8, 0))
    return chosen


def test_a_gpu_that_is_not_there_is_refused_before_anything_is_written(no_gpu: None, tmp_path: Path) -> None:
    spec = spec_of("device=cuda", "data.source=embedded:digits")
    with pytest.raises(MissingService, match=r"device=cuda needs a GPU.*set device=cpu"):
        train(spec, runs=str(tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()
    with pytest.raises(MissingService):
        open_device(spec, 0)


def test_auto_is_what_the_machine_has(no_gpu: None) -> None:
    assert settle_device(spec_of("device=auto")).device == "cpu"
    assert open_device(spec_of("device=auto"), 0) is HOST


def test_what_other_machines_have_is_told_by_name(no_gpu: None) -> None:
    there = ("engine.name=ray", "engine.address=head:6379")
    with pytest.raises(UsageError, match=r"device=auto asks this machine.*head:6379; name it: device=cpu or cuda"):
        settle_device(spec_of("device=auto", *there))
    spec = spec_of("device=cuda", "precision=auto", *there)
    assert settle_device(spec) == spec
    with pytest.raises(UsageError, match="precision=auto asks this machine"):
        settle_precision(spec, Problem((8, 8, 1), CLASSES), Silent())


def test_precision_is_settled_by_the_gpu(two_gpus: list[torch.device], monkeypatch: pytest.MonkeyPatch) -> None:
    spec = settle_device(spec_of("device=auto", "precision=auto"))
    assert spec.device == "cuda"
    problem = Problem((8, 8, 1), CLASSES)
    assert settle_precision(spec, problem, Silent()).precision == "bf16"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (7, 5))
    assert settle_precision(spec, problem, Silent()).precision == "fp32"


def test_workers_of_a_host_take_its_gpus_in_turn(two_gpus: list[torch.device], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(device_module, "_compute_alike", lambda *, is_free: asked.append(is_free))
    places = [open_device(spec_of("device=cuda"), local_rank).place.index for local_rank in range(3)]
    assert places == [0, 1, 0] == [device.index for device in two_gpus]
    open_device(spec_of("device=cuda", "strategy.mode=fast"), 0)
    assert asked == [False, False, False, True]


@pytest.fixture
def usual_arithmetic(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = (cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, products.allow_tf32)
    fills = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    yield
    torch.use_deterministic_algorithms(False)
    torch.utils.deterministic.fill_uninitialized_memory = fills  # type: ignore[attr-defined]
    cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, products.allow_tf32 = before


def test_an_exact_strategy_asks_for_the_same_bits_each_time(
    two_gpus: list[torch.device], usual_arithmetic: None
) -> None:
    open_device(spec_of("device=cuda"), 0)
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cudnn.deterministic
    assert not torch.backends.cudnn.benchmark
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


@pytest.mark.parametrize(("uuids", "backend"), [("ab", "cpu:gloo,cuda:nccl"), ("aa", "gloo")])
def test_nccl_is_for_workers_with_a_gpu_each(uuids: str, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dist, "is_nccl_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda place: SimpleNamespace(uuid=uuids[place.index]))
    meeting = Meeting(2, 10.0)

    def chosen(rank: int) -> str:
        return _backend(Device(torch.device("cuda", rank), is_apart=True), meeting.end(rank))

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(chosen, range(2))) == [backend, backend]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ((), r"a microbatch \(got microbatch_size=32.*lower microbatch_size"),
        (("strategy.mode=fast",), "batch_size=128"),
    ],
)
def test_a_full_memory_is_told_with_the_way_out(settings: tuple[str, ...], told: str) -> None:
    error = explained(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), spec_of(*settings))
    assert isinstance(error, UsageError)
    with pytest.raises(UsageError, match=told):
        raise error
    other = ValueError("another")
    assert explained(other, spec_of()) is other
