"""One object-store face over folders and memory (S3, GCS, Azure and HDFS join with the data plane)."""

from pileus.store.open import open_store, plain_place, resolve_uri
from pileus.store.ports import Blob, Store

__all__ = ["Blob", "Store", "open_store", "plain_place", "resolve_uri"]
