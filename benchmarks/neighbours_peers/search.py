"""One search by one peer: `python search.py NAME SETTINGS ARRAYS QUERIES K OUT`, printing one JSON line.

ARRAYS has images_MD and queries_ND, uint8; of the queries the first QUERIES are asked. Indices go to OUT. A small
search comes first and counts for nothing. Every way of a peer is in its own function, with its own imports.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[Any]
Found = tuple[float, float, NDArray[np.int64]]
"""Seconds to take the images in, seconds to search, indices_NK."""
_WARM = 64


def scikit_learn(images_MD: Pixels, queries_ND: Pixels, k: int, *, metric: str, chunk: int) -> Found:
    import sklearn  # noqa: PLC0415 - of the peers' environment, and one peer a process
    from sklearn.neighbors import NearestNeighbors  # noqa: PLC0415 - as above

    sklearn.set_config(pairwise_dist_chunk_size=chunk)
    return by_estimator(NearestNeighbors(algorithm="brute", metric=metric), images_MD, queries_ND, k)


def sklearnex(images_MD: Pixels, queries_ND: Pixels, k: int, *, n_jobs: int | None) -> Found:
    from sklearnex.neighbors import NearestNeighbors  # noqa: PLC0415 - as above

    return by_estimator(NearestNeighbors(algorithm="brute", n_jobs=n_jobs), images_MD, queries_ND, k)


def by_estimator(estimator: Any, images_MD: Pixels, queries_ND: Pixels, k: int) -> Found:
    images_MD, queries_ND = (np.ascontiguousarray(pixels, np.float32) for pixels in (images_MD, queries_ND))
    estimator.fit(images_MD[:1000]).kneighbors(queries_ND[:_WARM], k, return_distance=False)
    return timed(lambda: estimator.fit(images_MD), lambda: estimator.kneighbors(queries_ND, k, return_distance=False))


def faiss(images_MD: Pixels, queries_ND: Pixels, k: int, *, kind: str, query_bs: int, database_bs: int) -> Found:
    import faiss as library  # noqa: PLC0415 - as above

    library.cvar.distance_compute_blas_query_bs = query_bs
    library.cvar.distance_compute_blas_database_bs = database_bs
    images_MD, queries_ND = (np.ascontiguousarray(pixels, np.float32) for pixels in (images_MD, queries_ND))
    values = images_MD.shape[1]

    def made() -> Any:
        if kind == "float32":
            return library.IndexFlatL2(values)
        index = library.IndexScalarQuantizer(values, library.ScalarQuantizer.QT_8bit_direct, library.METRIC_L2)
        index.train(images_MD[:1])
        return index

    index = made()
    index.add(images_MD[:1000])
    index.search(queries_ND[:_WARM], k)
    index = made()
    return timed(lambda: index.add(images_MD), lambda: index.search(queries_ND, k)[1])


def timed(take_in: Callable[[], Any], search: Callable[[], NDArray[np.int64]]) -> Found:
    started = time.perf_counter()
    take_in()
    taken = time.perf_counter()
    found = search()
    return taken - started, time.perf_counter() - taken, found


def main() -> None:
    name, settings, arrays, queries, k, out = sys.argv[1:]
    with np.load(arrays) as loaded:
        images_MD, queries_ND = loaded["images_MD"], loaded["queries_ND"][: int(queries)]
    fit_s, search_s, indices_NK = globals()[name](images_MD, queries_ND, int(k), **json.loads(settings))
    np.save(out, indices_NK)
    print(json.dumps({"fit_s": fit_s, "search_s": search_s}))


if __name__ == "__main__":
    main()
