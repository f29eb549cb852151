"""tf.train.Example by protobuf itself, and TFRecord files as TensorFlow writes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]

from pileus.records import frame

Value = bytes | str | int | float


def _example_class() -> Any:
    """Made from its published definition."""
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="t", syntax="proto3")
    field = descriptor_pb2.FieldDescriptorProto

    def message(name: str, *fields: tuple[str, int, int, int, str]) -> Any:
        made = file.message_type.add(name=name)
        for field_name, number, kind, label, type_name in fields:
            made.field.add(name=field_name, number=number, type=kind, label=label, type_name=type_name or None)
        return made

    one, many = field.LABEL_OPTIONAL, field.LABEL_REPEATED
    message("BytesList", ("value", 1, field.TYPE_BYTES, many, ""))
    message("FloatList", ("value", 1, field.TYPE_FLOAT, many, ""))
    message("Int64List", ("value", 1, field.TYPE_INT64, many, ""))
    feature = message(
        "Feature",
        ("bytes_list", 1, field.TYPE_MESSAGE, one, ".t.BytesList"),
        ("float_list", 2, field.TYPE_MESSAGE, one, ".t.FloatList"),
        ("int64_list", 3, field.TYPE_MESSAGE, one, ".t.Int64List"),
    )
    feature.oneof_decl.add(name="kind")
    for each in feature.field:
        each.oneof_index = 0
    features = message("Features", ("feature", 1, field.TYPE_MESSAGE, many, ".t.Features.FeatureEntry"))
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=field.TYPE_STRING, label=one)
    entry.field.add(name="value", number=2, type=field.TYPE_MESSAGE, label=one, type_name=".t.Feature")
    message("Example", ("features", 1, field.TYPE_MESSAGE, one, ".t.Features"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.Example"))


ORACLE = _example_class()


def example_bytes(features: Mapping[str, Value | list[Value]]) -> bytes:
    """The message of these features, each one value or a list of one kind."""
    message = ORACLE()
    for name, value in features.items():
        values = value if isinstance(value, list) else [value]
        feature = message.features.feature[name]
        if all(isinstance(one, int) for one in values):
            feature.int64_list.value.extend(values)
        elif all(isinstance(one, float) for one in values):
            feature.float_list.value.extend(values)
        else:
            feature.bytes_list.value.extend(one.encode() if isinstance(one, str) else one for one in values)
    return bytes(message.SerializeToString())


def tfrecord_bytes(records: Iterable[bytes]) -> bytes:
    return b"".join(frame.header(len(data)) + data + frame.footer(frame.crc32c(data)) for data in records)


def write_tfrecord(path: Path, examples: Iterable[Mapping[str, Value | list[Value]]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(tfrecord_bytes(example_bytes(example) for example in examples))
    return path
