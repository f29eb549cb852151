"""What a finished model is worth on a labelled source: the bundle as it ships, never the network that trained.

Needs no torch. Pictures of other sizes come to the model by the preprocessing that serving uses.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from pileus.bundles import Bundle, Manifest, load
from pileus.data.ports import Encoded, Sample, Split
from pileus.data.sources.open import open_source
from pileus.data.sources.ports import ListedSource
from pileus.data.splits import settled_split
from pileus.errors import SourceError, SpecError, UsageError
from pileus.machine import count_cores
from pileus.measure.classification import Classification, measure_classification
from pileus.measure.report import ReportContent, render_report
from pileus.measure.worst import WorstError, worst_errors, worst_rows
from pileus.preprocessing.pictures import fit_pixels, read_picture
from pileus.spec.preprocessing import Preprocessing
from pileus.spec.run import RunSpec
from pileus.spec.values import Spec

SplitName = Literal["train", "validation", "test", "all"]

_BATCH = 256
_MOST_NAMED = 5


class Rejection(Spec, frozen=True, kw_only=True):
    """What a model that knows of none of its classes does with both kinds of samples. Shares are in [0, 1]."""

    false_rejects: float
    """Of the samples of its classes."""
    num_none: int
    """Samples of none of its classes."""
    none_rejected: float | None
    """Of those; None where there are none."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """The figures, and what they are figures of."""

    place: str
    """Path or URI of the run or bundle."""
    manifest: Manifest
    data: str
    """Source as it was named."""
    kind: str
    fingerprint: str
    """Of the whole source."""
    split: SplitName
    num_in_source: int
    measured: Classification
    """On the samples of the model's classes, whether it rejects them or not."""
    right_N: NDArray[np.bool_]
    """Whether each of those samples is answered rightly, in the order of the source."""
    worst: Sequence[WorstError]
    rejection: Rejection | None = None
    """None for a model that knows of nothing but its classes."""


def evaluate(
    place: str,
    data: str,
    *,
    kind: str = "auto",
    split: SplitName = "test",
    runs: str = "runs",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Measure the bundle of a run (a name in `runs`, path or URI) or at a place on one split of a source.

    SourceError where the classes are not the model's, no sample in the split is of one, or a picture cannot be read;
    UsageError where there is no bundle; Damaged where one of both was changed.
    """
    bundle, found = find_bundle(place, runs)
    return evaluate_bundle(bundle, open_source(data, kind), place=found, data=data, split=split, progress=progress)


def evaluate_bundle(
    bundle: Bundle,
    source: ListedSource,
    *,
    place: str = "",
    data: str,
    split: SplitName = "test",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """As `evaluate`, of a bundle and a source that are open; `place` and `data` name them."""
    label_of = _translation(source.classes, bundle.manifest, source_name=data)
    chosen = _chosen(source, split, _validation_share(bundle.manifest))
    if not chosen:
        raise SourceError(f"{data} has no sample in split {split!r} (it has {len(source)} in all); choose --split all.")
    probabilities_NK = np.empty((len(chosen), len(bundle.classes)), np.float32)
    labels_N = label_of[[source.row(index).label for index in chosen]]
    done = 0
    for images_NHWC in _batches(source, chosen, bundle.manifest.preprocessing):
        probabilities_NK[done : done + len(images_NHWC)] = bundle.probabilities(images_NHWC)
        done += len(images_NHWC)
        progress(done, len(chosen))
    known_N = labels_N < len(bundle.classes)
    if not known_N.any():
        raise SourceError(f"split {split!r} of {data} has no sample of the model's classes; choose another.")
    worst_of = [index for index, is_known in zip(chosen, known_N.tolist(), strict=True) if is_known]
    return Evaluation(
        place=place,
        manifest=bundle.manifest,
        data=data,
        kind=source.kind,
        fingerprint=source.fingerprint,
        split=split,
        num_in_source=len(source),
        measured=measure_classification(probabilities_NK[known_N], labels_N[known_N], bundle.classes),
        right_N=probabilities_NK[known_N].argmax(axis=1) == labels_N[known_N],
        worst=_worst(source, worst_of, probabilities_NK[known_N], labels_N[known_N], bundle),
        rejection=_rejection(probabilities_NK, known_N, bundle),
    )


def find_bundle(place: str, runs: str) -> tuple[Bundle, str]:
    """The bundle at a path or URI, or of the run with that name in `runs`, and where it was found.

    UsageError where there is none.
    """
    threads = count_cores().usable
    try:
        return load(place, threads=threads), place
    except UsageError as missing:
        named = f"{runs.rstrip('/')}/{place}"
        try:
            return load(named, threads=threads), named
        except UsageError:
            if set(place) & set("/:"):
                raise missing from None
            raise UsageError(
                f"there is no bundle at {place!r} and no finished run of that name in {runs}; see `pileus runs list`."
            ) from None


def evaluation_report(evaluation: Evaluation) -> str:
    """The page to show for it. MissingExtra without matplotlib."""
    provenance, place = evaluation.manifest.provenance, shlex.quote(evaluation.place)
    spec = _spec_of(evaluation.manifest)
    facts = {
        "data": f"{evaluation.data} ({evaluation.kind}), {told_split(evaluation)}",
        "data fingerprint": evaluation.fingerprint,
        "trained on": spec.data.source if spec else "",
        "run": provenance.run,
        "weights": provenance.weights,
        "bundle": evaluation.manifest.version,
    }
    content = ReportContent(
        run_name=f"{evaluation.manifest.name} on {evaluation.data}",
        spec=spec,
        test=evaluation.measured,
        worst=evaluation.worst,
        facts={name: value for name, value in facts.items() if value},
        next_steps=(f"pileus serve {place}", f"pileus predict {place} FILE..."),
    )
    return render_report(content)


def told_split(evaluation: Evaluation) -> str:
    """As 'split test: 1,650 of 7,494 samples'."""
    counts = f"{evaluation.measured.num_samples:,} of {evaluation.num_in_source:,} samples"
    return counts if evaluation.split == "all" else f"split {evaluation.split}: {counts}"


def _translation(theirs: Sequence[str], manifest: Manifest, *, source_name: str) -> NDArray[np.int64]:
    """(K,) the model's label of each of the source's. SourceError where the names are not the same.

    A source may have what is none of the classes, or several, where the model knows such, as the last labels.
    """
    ours = manifest.classes
    unknown = [name for name in theirs if name not in manifest.labels]
    lacking = [name for name in ours if name not in set(theirs)]
    if unknown or lacking:
        told = [f"{what} {_listed(names)}" for what, names in (("has", unknown), ("lacks", lacking)) if names]
        raise SourceError(
            f"classes of a source must be the model's ({source_name} {' and '.join(told)}); "
            "rename them, or evaluate a model of these classes."
        )
    position = {name: label for label, name in enumerate(manifest.labels)}
    return np.array([position[name] for name in theirs], np.int64)


def _rejection(probabilities_NK: NDArray[np.float32], known_N: NDArray[np.bool_], bundle: Bundle) -> Rejection | None:
    if bundle.manifest.none is None:
        return None
    rejected_N = bundle.belonging(probabilities_NK) < bundle.manifest.calibration.rejected
    return Rejection(
        false_rejects=float(rejected_N[known_N].mean()),
        num_none=int((~known_N).sum()),
        none_rejected=None if known_N.all() else float(rejected_N[~known_N].mean()),
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(repr(name) for name in names[:_MOST_NAMED]) + more


def _chosen(source: ListedSource, split: SplitName, validation: float) -> list[int]:
    """Positions in the source. What training held back of train counts as validation here too."""
    if split == "all":
        return list(range(len(source)))
    wanted = Split[split.upper()]
    rows = [source.row(index) for index in range(len(source))]
    if wanted == Split.TEST or any(row.split == Split.VALIDATION for row in rows):
        validation = 0.0
    return [index for index, row in enumerate(rows) if settled_split(row.split, row.id, validation) == wanted]


def _validation_share(manifest: Manifest) -> float:
    spec = _spec_of(manifest)
    return spec.data.validation if spec else 0.0


def _spec_of(manifest: Manifest) -> RunSpec | None:
    """None for a bundle that was not made by a run, or by one of another version."""
    try:
        return msgspec.convert(manifest.provenance.spec, RunSpec)
    except (msgspec.ValidationError, SpecError):
        return None


def _batches(source: ListedSource, chosen: Sequence[int], spec: Preprocessing) -> Iterator[NDArray[np.uint8]]:
    for start in range(0, len(chosen), _BATCH):
        yield np.stack([_fitted(source[index], spec) for index in chosen[start : start + _BATCH]])


def _fitted(sample: Sample, spec: Preprocessing) -> NDArray[np.uint8]:
    """(H, W, C) as the model takes it."""
    try:
        if isinstance(sample.image, Encoded):
            return read_picture(sample.image.content, spec)
        if sample.image.shape == (spec.height, spec.width, spec.channels):
            return sample.image
        return fit_pixels(sample.image, spec).image
    except UsageError as error:
        raise SourceError(f"sample {sample.id} cannot be used: {error}") from error


def _worst(
    source: ListedSource,
    chosen: Sequence[int],
    probabilities_NK: NDArray[np.float32],
    labels_N: NDArray[np.int64],
    bundle: Bundle,
) -> list[WorstError]:
    """Only their images are read again, so that memory does not grow with the source."""
    rows = worst_rows(probabilities_NK, labels_N)
    samples = [source[chosen[row]] for row in rows.tolist()]
    images = [_fitted(sample, bundle.manifest.preprocessing) for sample in samples]
    return worst_errors(
        np.stack(images) if images else np.empty((0, *bundle.input_shape), np.uint8),
        probabilities_NK[rows],
        labels_N[rows],
        [sample.id for sample in samples],
        bundle.classes,
    )
