"""Index and manifest made anew from shards alone.

What shards do not hold (names of classes without records, how drawings were rasterised, the source) comes from the
manifest; where that is lost, too, it is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from pileus.errors import Damaged, NotFound, SourceError
from pileus.records import example as examples
from pileus.records import manifest, scan
from pileus.records.part import ShardBuilder, ShardPart, offsets_text
from pileus.records.write import describe
from pileus.store import Store, open_store

Report = Callable[[int, int], None]


def rebuild_index(place: str, progress: Report = lambda done, total: None) -> manifest.Manifest:
    """Make the index anew, and the texts of offsets, from shards that must be whole; Damaged where one is not.

    A manifest that is missing or damaged is made anew as well. SourceError where there is no finished set. `progress`
    is told (shards done, shards).
    """
    store = open_store(place)
    described, version = found_manifest(store)
    names = [shard.name for shard in described.shards] if described else orphans(store)
    written = publish(store, names, described, version, progress=progress)
    sweep(store, written)
    return written


def found_manifest(store: Store) -> tuple[manifest.Manifest | None, str | None]:
    """The manifest where it can be trusted, and the version of what stands there in any case."""
    try:
        version = store.get(manifest.MANIFEST_KEY).version
        return manifest.find(store), version
    except NotFound:
        return None, None
    except Damaged:
        return None, version


def orphans(store: Store) -> list[str]:
    """The shards of a set whose manifest is lost; SourceError where there are none or its write was not finished."""
    names = manifest.shards_found(store)
    if not names or any(key.endswith(".part") for key in store.list("shard-")):
        manifest.load(store)
    if len({_number(name, "total") for name in names}) > 1:
        raise Damaged(f"{store.uri} holds shards of several sets ({names[0]}, {names[-1]}); move those of one away.")
    first = {_number(name, "number"): name for name in sorted(names, key=_revision, reverse=True)}
    return [first[number] for number in sorted(first)]


def _revision(name: str) -> int:
    """A repair that was killed may have left a later value beside the first, which holds all that it does."""
    return _number(name, "revision")


def missing_shards(names: Sequence[str]) -> list[str]:
    """Names of the shards that a set of these must have had besides."""
    present = {_number(name, "number") for name in names}
    total = max((_number(name, "total") for name in names), default=0)
    return [manifest.shard_key(number, total) for number in range(total) if number not in present]


def _number(name: str, part: str) -> int:
    """A number in the name of a shard; 0 where it has none."""
    match = manifest.SHARD_KEY.fullmatch(name)
    assert match is not None
    return int(match[part] or 0)


def publish(
    store: Store,
    names: Sequence[str],
    described: manifest.Manifest | None,
    version: str | None,
    *,
    dropped: int = 0,
    progress: Report = lambda done, total: None,
) -> manifest.Manifest:
    """Make these shards the set. Until the one step that replaces the manifest, readers see the set as it was."""
    if described is None and missing_shards(names) and not dropped:
        raise Damaged(f"{store.uri} lacks {missing_shards(names)[0]}; go on without it: pileus data repair {store.uri}")
    parts, texts = [], dict(enumerate(described.classes)) if described else {}
    for done, name in enumerate(names, 1):
        part = _part_of(store, name, texts)
        _check_unchanged(store, part, described)
        offsets = offsets_text(part.columns)
        if _get(store, manifest.offsets_key(name)) != offsets:
            store.put(manifest.offsets_key(name), offsets)
        parts.append(part)
        progress(done, len(names))
    if not parts:
        raise Damaged(f"{store.uri} has no whole record left; write it again: pileus data write SOURCE DEST")
    renewed, content = describe(
        parts,
        classes=_classes(texts, store.uri),
        preprocessing=described.preprocessing if described else None,
        origin=described.origin if described else None,
        index_key=described.index if described else manifest.INDEX_KEY,
        dropped=dropped + (described.dropped if described else 0),
    )
    if described is not None and renewed.index_checksum != described.index_checksum:
        renewed = msgspec.structs.replace(renewed, index=manifest.revised(described.index))
    if described is None or _get(store, renewed.index) != content:
        store.put(renewed.index, content)
    encoded = manifest.encode(renewed)
    if version is None:
        store.put(manifest.MANIFEST_KEY, encoded, if_absent=True)
    elif described is None or encoded != manifest.encode(described):
        if store.abilities.swap:
            store.swap(manifest.MANIFEST_KEY, encoded, version)
        else:
            store.put(manifest.MANIFEST_KEY, encoded)
    return manifest.decode(encoded, store.uri)


def sweep(store: Store, described: manifest.Manifest) -> list[str]:
    """Remove what of a record set this manifest does not name; returns the shards among it."""
    shards = [shard.name for shard in described.shards]
    named = {manifest.MANIFEST_KEY, described.index, *shards, *(manifest.offsets_key(name) for name in shards)}
    swept = [key for key in store.list() if manifest.is_own(key) and key not in named]
    for key in swept:
        store.delete(key)
    return [key for key in swept if manifest.SHARD_KEY.fullmatch(key)]


def _part_of(store: Store, name: str, texts: dict[int, str]) -> ShardPart:
    """From the shard's bytes. `texts` gets the class names that it holds."""
    builder = ShardBuilder(name)
    try:
        content = store.get(name).content
    except NotFound as error:
        raise Damaged(f"{store.uri} lacks {name}; {_way_out(store)}") from error
    for found in scan.frames(content):
        place = f"record {found.record} of {name}, at byte {found.offset},"
        if found.data is None:
            raise Damaged(f"{place} is damaged: {found.what}; {_way_out(store)}")
        try:
            example, image_offset = examples.decode(found.data)
        except examples.Malformed as error:
            raise Damaged(f"{place} is {error}; {_way_out(store)}") from error
        if texts.setdefault(example.label, example.class_text) != example.class_text:
            what = f"calls class {example.label} {example.class_text!r}, another {texts[example.label]!r}"
            raise Damaged(f"{place} {what}; {_way_out(store)}")
        builder.add_encoded(found.data, example, image_offset)
        builder.take()
    if not content:
        raise Damaged(f"{name} in {store.uri} is empty; {_way_out(store)}")
    return builder.finish()


def _check_unchanged(store: Store, part: ShardPart, described: manifest.Manifest | None) -> None:
    """A shard that the manifest names is the one that it means."""
    shards = described.shards if described else ()
    meant = next((shard for shard in shards if shard.name == part.shard.name), part.shard)
    if meant != part.shard:
        raise Damaged(f"{part.shard.name} is not the shard that the manifest of {store.uri} means; {_way_out(store)}")


def _way_out(store: Store) -> str:
    return f"repair it: pileus data repair {store.uri}"


def _classes(texts: dict[int, str], uri: str) -> tuple[str, ...]:
    unknown = next((label for label in range(max(texts) + 1) if label not in texts), None)
    if unknown is not None:
        raise SourceError(
            f"class {unknown} of {uri} has no record, and its name is lost with the manifest; write it again."
        )
    return tuple(texts[label] for label in range(len(texts)))


def _get(store: Store, key: str) -> bytes | None:
    try:
        return store.get(key).content
    except NotFound:
        return None
