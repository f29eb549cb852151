"""The fast search, its shards and the bundle's graph against the plain reference, over images that are often equal."""

from __future__ import annotations

import itertools

import numpy as np
import onnx
import onnxruntime
from hypothesis import given, settings
from hypothesis import strategies as st

from pileus.bundles.neighbours import export_neighbours
from pileus.models.neighbours.search import Shard, merge
from pileus.models.neighbours.votes import PRIOR_VOTES
from reference import knn


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.random.Generator, int, int, int, int, int]:
    """A source of pixels; images, queries, values, greatest pixel, k."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    images, queries = draw(st.integers(1, 400)), draw(st.integers(1, 20))
    return (
        rng,
        images,
        queries,
        draw(st.integers(1, 40)),
        draw(st.sampled_from([1, 2, 16, 255])),
        draw(st.integers(1, 12)),
    )


@settings(max_examples=60)
@given(problems(), st.integers(1, 4))
def test_the_search_is_exact(problem: tuple[np.random.Generator, int, int, int, int, int], num_shards: int) -> None:
    rng, images, queries, values, most, k = problem
    images_MD = rng.integers(0, most, (images, values), np.uint8, endpoint=True)
    queries_ND = rng.integers(0, most, (queries, values), np.uint8, endpoint=True)
    edges = sorted({0, images, *rng.integers(0, images, num_shards - 1).tolist()})
    bounds = itertools.pairwise(edges)
    found = merge([Shard(images_MD[low:high], first=low).nearest(queries_ND, k) for low, high in bounds], k)
    distances_NK, indices_NK = knn.nearest(images_MD, queries_ND, k)
    np.testing.assert_array_equal(found.distances_NK, distances_NK)
    np.testing.assert_array_equal(found.indices_NK, indices_NK)


@settings(max_examples=30)
@given(problems())
def test_the_graph_is_exact(problem: tuple[np.random.Generator, int, int, int, int, int]) -> None:
    rng, images, queries, values, most, k = problem
    k = min(k, images)
    images_MHWC = rng.integers(0, most, (images, 1, values, 1), np.uint8, endpoint=True)
    queries_NHWC = rng.integers(0, most, (queries, 1, values, 1), np.uint8, endpoint=True)
    labels_M = rng.integers(0, 3, images)
    model = onnx.load_from_string(export_neighbours(images_MHWC, labels_M, k, 3, PRIOR_VOTES))
    model.graph.output.append(onnx.helper.make_tensor_value_info("nearest", onnx.TensorProto.INT64, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    logits_NC, nearest_NK = session.run(["logits", "nearest"], {"images": queries_NHWC})
    true_NK = knn.nearest(images_MHWC.reshape(images, -1), queries_NHWC.reshape(queries, -1), k)[1]
    np.testing.assert_array_equal(nearest_NK, true_NK)
    expected_NC = [knn.logits(row, 3, PRIOR_VOTES) for row in labels_M[true_NK].tolist()]
    np.testing.assert_allclose(logits_NC, expected_NC, rtol=1e-5, atol=1e-6)
    assert logits_NC.argmax(axis=1).tolist() == [knn.winner(row) for row in labels_M[true_NK].tolist()]
