"""From any source to the record set that workers read."""

from __future__ import annotations

from pileus.data.sources.joined import Joint, join
from pileus.data.sources.open import open_source
from pileus.data.sources.ports import ListedSource
from pileus.errors import UsageError
from pileus.machine import count_cores
from pileus.operations.observer import Observer
from pileus.operations.write import write_source
from pileus.records.read import RecordSet, open_records
from pileus.spec.run import Data

_FOLDER = ".records"
"""Below the folder of runs; a set is named by the fingerprint of its source, so that runs share it."""


def prepare_records(data: Data, runs_uri: str, observer: Observer) -> RecordSet:
    """The source itself where it is a record set; else its records, written once below `runs_uri`."""
    if not data.source:
        raise UsageError("this recipe needs data (got none); name it: --data FOLDER")
    source = _opened(data)
    if source.kind == "records":
        return open_records(data.source)
    place = f"{runs_uri.rstrip('/')}/{_FOLDER}/{source.fingerprint[:16]}"
    observer.say(
        f"{', '.join((data.source, *data.also))}: {source.kind}, {len(source):,} images, {len(source.classes)} classes"
    )
    workers = count_cores().usable
    write_source(source, place, workers=workers, progress=lambda done, total, _: observer.progress(done, total))
    return open_records(place)


def _opened(data: Data) -> ListedSource:
    source = open_source(data.source, data.kind)
    if not data.also and data.none is None:
        return source
    others = {name: open_source(name) for name in data.also}
    joints = [Joint(data.source, source), *(Joint(name, others[name]) for name in data.also)]
    return join(joints, none=data.none, several=data.several, validation=data.validation)
