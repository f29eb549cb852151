"""Ordinary TFRecord shards with an index beside them: read by index, every checksum verified, no protobuf."""

from pileus.records.read import RecordSet, open_records
from pileus.records.rebuild import rebuild_index
from pileus.records.repair import RepairReport, repair_records
from pileus.records.verify import Damage, VerifyReport, verify_records

__all__ = [
    "Damage",
    "RecordSet",
    "RepairReport",
    "VerifyReport",
    "open_records",
    "rebuild_index",
    "repair_records",
    "verify_records",
]
