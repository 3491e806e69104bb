"""Writes objects as Kafka Connect's S3 sink does, with its Avro format and default partitioner."""

import asyncio
import io
import json
import random
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cramjam
import fastavro

from fastdata import Count, Metric, Source, Sum
from fastdata.archive import ArchiveStorage
from fastdata.coordinates.instants import HOUR_MS

# A month has 144,000 times 18 seconds.
EVERY_MS = 18_000
START = 1_704_067_200_000  # 2024-01-01
TOPIC = "web.views"
# What the registry has, and what the sink makes of it.
DECLARED: dict[str, Any] = {
    "type": "record",
    "name": "View",
    "namespace": "shop",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "page", "type": "string"},
        {"name": "load_ms", "type": ["null", "int"], "default": None},
    ],
}
WRITTEN = {
    **DECLARED,
    "fields": [
        {"name": "id", "type": "string"},
        {
            "name": "at",
            "type": {
                "type": "long",
                "connect.version": 1,
                "connect.name": "org.apache.kafka.connect.data.Timestamp",
                "logicalType": "timestamp-millis",
            },
        },
        {"name": "page", "type": {"type": "string", "connect.default": ""}},
        {"name": "load_ms", "type": ["null", "int"], "default": None},
    ],
    "connect.version": 7,
    "connect.name": "shop.View",
}
_PARSED = fastavro.parse_schema(json.loads(json.dumps(WRITTEN)))
_SYNC = bytes(range(16))
AGENTS = """\
from fastdata import Count, Metric, Source, Sum

views = Source("views", topic="web.views", schema="view.avsc", time="at", id="id",
               segment_size={segment_size})
loads = Metric("loads", views, by=["page"], measures={{"views": Count(), "load": Sum("load_ms")}})
"""


@dataclass(slots=True)
class Written:
    """What was written, to compare with what is read."""

    objects: int = 0
    records: Counter[int] = field(default_factory=Counter)  # by partition
    hours: Counter[int] = field(default_factory=Counter)
    load_ms: int = 0


def declare(folder: Path, segment_size: int = 10_000) -> Metric:
    """The files of a project, and the metric in them."""
    (folder / "agents").mkdir()
    (folder / "view.avsc").write_text(json.dumps(DECLARED))
    (folder / "agents" / "views.py").write_text(AGENTS.format(segment_size=segment_size))
    source = Source(
        "views", topic=TOPIC, schema=str(folder / "view.avsc"), time="at", id="id",
        segment_size=segment_size,
    )  # fmt: skip
    return Metric("loads", source, by=["page"], measures={"views": Count(), "load": Sum("load_ms")})


def view(partition: int, offset: int, at: int, load_ms: int | None = 7) -> dict[str, object]:
    page = f"/{offset % 5}"
    identity = f"{partition}-{offset}"
    return {"id": identity, "at": at, "page": page, "load_ms": load_ms, "country": "NL"}


def object_name(partition: int, first: int) -> str:
    return f"{TOPIC}/partition={partition}/{TOPIC}+{partition}+{first:010}.avro"


def make_object(
    records: Sequence[dict[str, object]], codec: str = "null", schema: object = WRITTEN
) -> bytes:
    """An Avro object container."""
    out = io.BytesIO()
    parsed = _PARSED if schema is WRITTEN else fastavro.parse_schema(schema)  # type: ignore[arg-type]
    for record in records:
        fastavro.schemaless_writer(out, parsed, record)
    data = packed = out.getvalue()
    if codec == "deflate":
        packed = zlib.compress(data, wbits=-15)
    elif codec == "snappy":
        packed = bytes(cramjam.snappy.compress_raw(data)) + zlib.crc32(data).to_bytes(4, "big")
    meta = {"avro.schema": json.dumps(schema).encode(), "avro.codec": codec.encode()}
    parts = [b"Obj\x01", _long(len(meta))]
    for key, value in meta.items():
        parts += [_long(len(key)), key.encode(), _long(len(value)), value]
    return b"".join([*parts, b"\0", _SYNC, _long(len(records)), _long(len(packed)), packed, _SYNC])


async def write_sink(
    storage: ArchiveStorage, objects: int, *, partitions: int = 1, at_once: int = 500
) -> Written:
    """Write so many objects, one every 18 seconds, of 4 to 36 records each; always the same."""
    written = Written()
    made = _make_objects(objects, partitions, written)
    while some := [each for _, each in zip(range(at_once), made, strict=False)]:
        await asyncio.gather(*(storage.create(name, data) for name, data in some))
        written.objects += len(some)
    return written


def _make_objects(objects: int, partitions: int, written: Written) -> Iterator[tuple[str, bytes]]:
    rng = random.Random(144_000)
    for number in range(objects):
        partition, at = number % partitions, START + number * EVERY_MS
        first = written.records[partition]
        records = []
        for offset in range(first, first + rng.randint(4, 36)):
            load_ms = rng.choice((None, rng.randrange(2_000)))
            records.append(view(partition, offset, at + rng.randrange(EVERY_MS), load_ms))
            written.load_ms += load_ms or 0
        written.records[partition] += len(records)
        written.hours[at // HOUR_MS * HOUR_MS] += len(records)
        codec = rng.choice(("null", "deflate", "snappy"))
        yield object_name(partition, first), make_object(records, codec)


def _long(value: int) -> bytes:
    out, value = bytearray(), value << 1
    while value > 0x7F:
        out.append((value & 0x7F) | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
