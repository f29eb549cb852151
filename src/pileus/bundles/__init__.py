"""The bundle: the contract between training and serving. Reading and using one needs no torch."""

from pileus.bundles.load import load
from pileus.bundles.manifest import BundleDescription, Calibration, Manifest, Provenance
from pileus.bundles.predictor import Bundle, Prediction, Verdict
from pileus.bundles.write import write_bundle

__all__ = [
    "Bundle",
    "BundleDescription",
    "Calibration",
    "Manifest",
    "Prediction",
    "Provenance",
    "Verdict",
    "load",
    "write_bundle",
]
