"""Whatever comes to a parser, it reads it or refuses it: no other error, within bounds of time and memory."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pileus.bundles import Bundle, load
from pileus.bundles.load import read_verified
from pileus.bundles.manifest import MANIFEST_FILE, MODEL_FILE
from pileus.errors import PileusError
from pileus.serving.answers import Refusal
from pileus.serving.feedback import correct_of
from pileus.serving.requests import Limits, candidates_of_picture_body, candidates_of_strokes_body
from pileus.serving.tensors import bytes_of_numbers, question_of
from pileus.spec.preprocessing import Drawing, Picture, Preprocessing
from pileus.spec.values import canonical_json, digest
from pileus.store.memory import MemoryStore
from tests.properties.fuzzing import MOST_BYTES, fuzz, mutated, resident_bytes, with_right_checksums
from tests.unit.serving.conftest import bundle_folder  # noqa: F401 - a fixture

LIMITS = Limits(pixels=1 << 20)
SPECS = st.sampled_from([Drawing(), Picture(height=16, width=24), Picture(height=8, width=8, channels=1)])

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([-1, 0, 1, 255, 256, 2**31, 2**63, 2**64, 10**30, 1e308, -1e308, 1e-320]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=6),
)
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
)
NOT_JSON = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([b"[" * 100_000, b'{"strokes":' * 50_000, b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}", b""]),
)


@pytest.fixture(scope="module", autouse=True)
def bounded_memory() -> Iterator[None]:
    before = resident_bytes()
    yield
    assert resident_bytes() - before < MOST_BYTES


def read_or_refused(read: Callable[[], Any], *statuses: int) -> Any:
    """None where it was refused, with one of these."""
    try:
        return read()
    except Refusal as refusal:
        assert refusal.status in statuses and refusal.detail
        return None


def pngs() -> Iterator[bytes]:
    ramp = np.arange(20 * 24, dtype=np.uint8).reshape(20, 24)
    grey, notes = Image.fromarray(ramp), PngInfo()
    notes.add_text("Title", "a", zip=True)
    notes.add_itxt("Title", "b", "de", "c", zip=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    for picture in (
        grey, grey.convert("1"), grey.convert("RGB"), grey.convert("RGBA"), grey.convert("P"), grey.convert("LA"),
        Image.fromarray(ramp.astype(np.uint16) * 200),
    ):  # fmt: skip
        yield written(picture, "PNG", pnginfo=notes, exif=exif, dpi=(72, 72), icc_profile=b"profile")
    yield written(grey.convert("P"), "PNG", transparency=3)


def jpegs() -> Iterator[bytes]:
    ramp = np.arange(40 * 56, dtype=np.uint8).reshape(40, 56)
    grey, exif = Image.fromarray(ramp), Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x011A] = 6, "maker", 72.0
    for picture in (grey, grey.convert("RGB"), grey.convert("CMYK")):
        yield written(picture, "JPEG", exif=exif, icc_profile=b"profile", comment=b"c", dpi=(72, 72))
        yield written(picture, "JPEG", progressive=True, restart_marker_blocks=1)


def written(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


PICTURES = [*pngs(), *jpegs()]
HEADS = st.tuples(
    st.sampled_from([0, 1, 2, 28, 1024, 1025, 65_536, 2**31 - 1, 2**31, 2**32 - 1]),
    st.sampled_from([0, 1, 28, 1024, 1025, 65_536, 2**32 - 1]),
    st.binary(min_size=5, max_size=5),
)
"""Of a PNG: width, height, and how its pixels are stored."""


@pytest.mark.filterwarnings("ignore::UserWarning:PIL.TiffImagePlugin")
@fuzz(3)
@given(content=st.sampled_from(PICTURES).flatmap(mutated), mend=st.booleans(), spec=SPECS, whole=st.booleans())
def test_damaged_pictures(content: bytes, mend: bool, spec: Preprocessing, whole: bool) -> None:
    body = with_right_checksums(content) if mend else content
    read_or_refused(lambda: candidates_of_picture_body(body, spec, LIMITS, whole=whole), 400, 413, 422)


@fuzz(3)
@given(png=st.sampled_from(list(pngs())), head=HEADS, spec=SPECS)
def test_pictures_that_say_they_are_others(png: bytes, head: tuple[int, int, bytes], spec: Preprocessing) -> None:
    width, height, stored = head
    told = png[:16] + width.to_bytes(4, "big") + height.to_bytes(4, "big") + stored + png[29:]
    body = with_right_checksums(told)
    read_or_refused(lambda: candidates_of_picture_body(body, spec, LIMITS, whole=False), 400, 413, 422)


@fuzz(0.1)
@given(
    shape=st.tuples(st.integers(1, 200), st.integers(1, 200)),
    dark=st.floats(0, 1),
    period=st.integers(1, 40),
    seed=st.integers(0, 999),
)
def test_pictures_of_no_writing(shape: tuple[int, int], dark: float, period: int, seed: int) -> None:
    noise_HW = np.random.default_rng(seed).random(shape) < dark
    stripes_HW = np.indices(shape).sum(axis=0) % period == 0
    for pattern_HW in (noise_HW, stripes_HW, noise_HW & stripes_HW):
        body = written(Image.fromarray(pattern_HW.astype(np.uint8) * 255), "PNG")
        found = read_or_refused(partial(candidates_of_picture_body, body, Drawing(), LIMITS, whole=False), 422)
        assert found is None or len(found) < 1000


@fuzz(0.7)
@given(body=st.one_of(JSON.map(json.dumps).map(str.encode), NOT_JSON), whole=st.booleans())
def test_bodies_that_are_no_strokes(body: bytes, whole: bool) -> None:
    read_or_refused(lambda: candidates_of_strokes_body(body, Drawing(), LIMITS, whole=whole), 400, 413, 422)
    read_or_refused(lambda: correct_of(body), 400, 422)


@fuzz(0.5)
@given(
    scale=st.sampled_from([1e-300, 1e-9, 1.0, 1e3, 1e8, 1e9, 1e290]),
    lengths=st.lists(st.sampled_from([0, 1, 2, 3, 50, 400]), min_size=1, max_size=30),
    kind=st.sampled_from(["walk", "one point", "line", "far and near"]),
    whole=st.booleans(),
)
def test_strokes_of_any_size_and_shape(scale: float, lengths: list[int], kind: str, whole: bool) -> None:
    chance = np.random.default_rng(len(lengths))
    strokes = []
    for length in lengths:
        walk = chance.normal(size=(length, 2)).cumsum(axis=0)
        if kind == "one point":
            walk[:] = 1.0
        elif kind == "line":
            walk[:, 1] = 0.0
        elif kind == "far and near" and length:
            walk[0] = 9e8
        strokes.append((walk * scale).tolist())
    body = json.dumps({"strokes": strokes}).encode()
    found = read_or_refused(lambda: candidates_of_strokes_body(body, Drawing(), LIMITS, whole=whole), 422)
    assert found is None or all(each.item.image_HWC.shape == (28, 28, 1) for each in found)


@pytest.fixture(scope="module")
def bundle(bundle_folder: Path) -> Bundle:  # noqa: F811
    return load(bundle_folder)


INPUTS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["images", "image", ""]) | LEAVES,
        "shape": st.lists(st.sampled_from([-1, 0, 1, 2, 28, 2**31, 2**64]) | LEAVES, max_size=6)
        | st.just([1, 28, 28, 1]),
        "datatype": st.sampled_from(["UINT8", "FP32", "BYTES"]) | LEAVES,
        "data": st.lists(st.integers(0, 255), min_size=784, max_size=784) | JSON,
        "parameters": st.fixed_dictionaries({"binary_data_size": st.sampled_from([0, 784, 783]) | LEAVES}) | JSON,
    },
)
REQUESTS = st.fixed_dictionaries(
    {"inputs": st.lists(INPUTS, max_size=2)},
    optional={
        "id": LEAVES,
        "outputs": st.lists(
            st.fixed_dictionaries({"name": st.sampled_from(["label", "verdict", "x"]), "parameters": JSON}), max_size=3
        ),
        "parameters": JSON,
    },
)


@fuzz()
@given(
    request=REQUESTS | JSON,
    tail=st.sampled_from([b"", bytes(784), bytes(3)]),
    shift=st.integers(-3, 3),
    alone=st.booleans(),
)
def test_requests_for_tensors(bundle: Bundle, request: Any, tail: bytes, shift: int, alone: bool) -> None:
    text = json.dumps(request).encode()
    length = None if alone else max(0, len(text) + shift)
    question = read_or_refused(lambda: question_of(text + tail, length, bundle.manifest, 4), 400)
    assert question is None or 1 <= question.weight <= 4


@fuzz()
@given(body=st.one_of(JSON.map(json.dumps).map(str.encode), NOT_JSON), count=st.integers(1, 3))
def test_numbers_that_are_no_images(body: bytes, count: int) -> None:
    content = read_or_refused(lambda: bytes_of_numbers(body, count, (1, 2, 1)), 400)
    assert content is None or len(content) == 2 * count


@fuzz(2)
@given(data=st.data())
def test_damaged_bundles(bundle: Bundle, data: st.DataObject) -> None:
    """Any change is noticed, and told as one error."""
    name = data.draw(st.sampled_from([MANIFEST_FILE, MODEL_FILE]))
    files = {MANIFEST_FILE: canonical_json(bundle.manifest), MODEL_FILE: bundle.onnx}
    changed = data.draw(mutated(files[name]) | st.binary(max_size=40) | st.just(b"[" * 100_000))
    store = MemoryStore()
    for key, content in {**files, name: changed}.items():
        store.put(key, content)
    if changed == files[name]:
        return
    with pytest.raises(PileusError):
        read_verified(store)


@fuzz(3)
@given(path=st.lists(st.integers(0, 20), min_size=1, max_size=4), value=JSON | st.binary(max_size=9).map(repr))
def test_forged_bundles(bundle: Bundle, path: list[int], value: Any) -> None:
    """A field of the manifest is another, and its hashes are right: it is refused, or it answers."""
    forged = json.loads(canonical_json(bundle.manifest))
    inner: Any = forged
    for number in path[:-1]:
        keys = sorted(inner) if isinstance(inner, dict) else range(len(inner))
        deeper = inner[list(keys)[number % len(keys)]] if len(keys) else inner
        inner = deeper if isinstance(deeper, (dict, list)) and deeper else inner
    keys = sorted(inner) if isinstance(inner, dict) else range(len(inner))
    inner[list(keys)[path[-1] % len(keys)]] = value
    forged["version"] = ""
    forged["version"] = digest(canonical_json(forged))
    store = MemoryStore()
    store.put(MANIFEST_FILE, canonical_json(forged))
    store.put(MODEL_FILE, bundle.onnx)
    try:
        manifest, files = read_verified(store)
        answering = Bundle(manifest, files[MODEL_FILE])
    except PileusError:
        return
    answering.predict(np.zeros((1, *answering.input_shape), np.uint8))


def test_json_is_decoded_by_what_the_tests_above_know() -> None:
    """RecursionError is what msgspec raises for deep nesting; it is no DecodeError."""
    with pytest.raises(RecursionError):
        msgspec.json.decode(b"[" * 100_000)
