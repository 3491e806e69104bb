"""What decoding an Avro event costs, by fastavro and by what is generated for its schema.

    python benchmarks/decoding.py [EVENTS]

Microseconds of the processor an event, the best of some rounds, all in turns in one process. The
last column is all that becomes of a value: its schema found, decoded, its time checked. `older` was
written with an older version of the schema, from before a field that has a default.
"""

import io
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from random import Random
from time import thread_time

import fastavro

from fastdata import Source
from fastdata.events.decoder import Datums, Decoder
from fastdata.events.fieldtypes import FieldType
from fastdata.events.generated import compile_reader
from fastdata.events.registry import FolderRegistry
from fastdata.events.schema import Schema, encode

ROUNDS = 9
START = 1_709_204_400_000
EVENT = [
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "id", "type": "string"},
    {"name": "page", "type": "string"},
    {"name": "country", "type": "string"},
    {"name": "user", "type": "string"},
    {"name": "bytes", "type": "long"},
    {"name": "status", "type": "int"},
]  # fmt: skip
NEWER = [*EVENT, {"name": "device", "type": "string", "default": "unknown"}]


def value_of(rng: Random, number: int, type: FieldType) -> object:
    """A value of a field: short texts, small numbers, now and then null."""
    if type.nullable and rng.random() < 0.1:
        return None
    match type.kind:
        case "timestamp":
            return (START + number * 37) * (1000 if type.unit == "us" else 1)
        case "int":
            return rng.choice([rng.randrange(50), rng.randrange(5_000), rng.randrange(200_000)])
        case "decimal":
            return Decimal(rng.randrange(100_000)).scaleb(-type.scale)
        case "bool":
            return rng.random() < 0.5
        case "array":
            return []
    return "".join(rng.choices("abcdefghijklmnop/-", k=rng.choice([2, 8, 12, 30])))


def measured(run: Callable[[], object], events: int) -> float:
    """Microseconds an event."""
    began = thread_time()
    run()
    return (thread_time() - began) / events * 1e6


def show(name: str, writer: Schema, source: Source, folder: Path, events: int) -> None:
    """One line of the result."""
    rng = Random(name)
    values = [
        encode(writer, {n: value_of(rng, number, t) for n, t in writer.fields.items()})
        for number in range(events)
    ]
    datums = [value[5:] for value in values]
    is_older = writer != source.schema
    read = compile_reader(writer, source.schema if is_older else None)
    wanted, stream = (source.schema.parsed, Datums) if is_older else (None, io.BytesIO)
    decoder = Decoder(source, FolderRegistry(folder))
    if read is None:
        raise SystemExit(f"nothing is generated for {name}")

    def by_fastavro() -> None:
        for datum in datums:
            fastavro.schemaless_reader(stream(datum), writer.parsed, wanted)

    def generated() -> None:
        for datum in datums:
            read(datum, 0)

    def decoded() -> None:
        for value in values:
            decoder.decode(value)

    runs = (by_fastavro, generated, decoded)
    rounds = [[measured(run, events) for run in runs] for _ in range(ROUNDS)]
    theirs, ours, whole = (min(column) for column in zip(*rounds, strict=True))
    faster = f"{theirs / ours:.1f}x"
    print(f"{name:16}{len(writer.fields):6}{theirs:10.2f}{ours:11.2f}{faster:>7}{whole:10.2f}")


def sources(folder: Path) -> Iterator[tuple[str, Schema, Source, Path]]:
    """Name, schema of the writer, source and folder of schemas of each line."""
    for path in sorted(Path("schemas").glob("*.avsc")):
        schema = Schema.load(path)
        time = next(name for name, type in schema.fields.items() if type.kind == "timestamp")
        source = Source(path.stem, topic=path.stem, schema=str(path), time=time)
        yield path.stem, schema, source, path.parent
    for name, fields in (("7 fields", EVENT), ("7 fields, older", NEWER)):
        for version, declared in (("writer", EVENT), ("reader", fields)):
            text = json.dumps({"type": "record", "name": "Event", "fields": declared})
            (folder / f"{version}.avsc").write_text(text)
        source = Source("events", topic="events", schema=str(folder / "reader.avsc"), time="at")
        yield name, Schema.load(folder / "writer.avsc"), source, folder


def main(events: int) -> None:
    """Print a line for each schema."""
    print(f"{'':16}{'fields':>6}{'fastavro':>10}{'generated':>11}{'':7}{'decode':>10}")
    with tempfile.TemporaryDirectory() as folder:
        for name, writer, source, schemas in sources(Path(folder)):
            show(name, writer, source, schemas, events)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5_000)
