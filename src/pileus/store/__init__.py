"""One object-store face over folders, memory, S3, Google Cloud Storage, Azure, web servers and HDFS."""

from pileus.store.open import is_remote, open_store, plain_place, resolve_uri
from pileus.store.ports import Abilities, Blob, Store

__all__ = ["Abilities", "Blob", "Store", "is_remote", "open_store", "plain_place", "resolve_uri"]
