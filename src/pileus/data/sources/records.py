"""A Pileus record set as a source: to show it, or to write it anew with other shards or sizes."""

from __future__ import annotations

import numpy as np

from pileus.data.ports import Encoded, Sample, Split
from pileus.data.sources.ports import Row
from pileus.records import RecordSet, open_records
from pileus.spec.preprocessing import Preprocessing

KIND = "records"


class RecordSource:
    """Every read is verified; pickling opens the set anew."""

    kind = KIND

    def __init__(self, records: RecordSet) -> None:
        self.records = records

    def uncached(self) -> RecordSource:
        """The same, of which nothing is kept on a worker's disk."""
        return RecordSource(open_records(self.records.uri, cached=False))

    @property
    def classes(self) -> tuple[str, ...]:
        return self.records.classes

    @property
    def fingerprint(self) -> str:
        return self.records.fingerprint

    @property
    def preprocessing(self) -> Preprocessing | None:
        return self.records.preprocessing

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Sample:
        label, sample_id, split = self.row(index)
        content = self.records[index]
        image_format = self.records.format(index)
        if image_format != "raw":
            return Sample(Encoded(bytes(content), image_format), label, sample_id, split)
        image_HWC = np.frombuffer(content, np.uint8).reshape(self.records.shape_at(index))
        return Sample(image_HWC, label, sample_id, split)

    def row(self, index: int) -> Row:
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        return Row(int(self.records.labels[index]), self.records.id(index), Split(int(self.records.splits[index])))


def open_record_source(place: str) -> RecordSource:
    return RecordSource(open_records(place))
