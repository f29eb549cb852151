"""Ordinary TFRecord shards with an index beside them: read by index, every checksum verified, no protobuf."""

from pileus.records.read import RecordSet, open_records
from pileus.records.verify import Damage, VerifyReport, verify_records

__all__ = ["Damage", "RecordSet", "VerifyReport", "open_records", "verify_records"]
