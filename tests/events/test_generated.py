"""What is read by Python written for a schema is what fastavro reads, to the type and the bit."""

import copy
import json
import re
import struct
from decimal import Decimal
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastdata import Source
from fastdata.errors import BadEventError, DeclarationError
from fastdata.events.decoder import Decoder
from fastdata.events.evolution import differences
from fastdata.events.generated import compile_reader
from fastdata.events.registry import FolderRegistry
from fastdata.events.schema import Schema, encode
from tests.support.avro import types
from tests.support.mutations.records import Sender
from tests.support.mutations.schemas import new_schema, newer_schema
from tests.support.mutations.subjects import SCHEMAS

RECORDS = 100
AT = {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}}
NOW = 1_709_204_400_000


def exact(value: Any) -> Any:
    """A value that is equal only to one of the same types, order, digits and bits."""
    match value:
        case dict():
            return [(key, exact(each)) for key, each in value.items()]
        case list():
            return ["list", *map(exact, value)]
        case float():
            return struct.pack("<d", value)
        case Decimal():
            return value.as_tuple()
    return type(value), value


def outcome(decoder: Decoder, value: bytes | None) -> Any:
    """What becomes of a value: its fields, or all that a dead letter says."""
    try:
        event = decoder.decode(value)
    except BadEventError as error:
        detail = re.sub("0x[0-9a-f]+", "", error.detail)  # where an object is in memory
        return error.stage, error.reason, detail, error.time
    return event.time, event.id, exact(event.fields)


class Decoders:
    """A decoder as it is, and one that leaves all to fastavro.

    Args:
        schemas: As JSON; the first is the source's.
    """

    def __init__(self, folder: Path, schemas: list[Any], time: str = "at") -> None:
        for number, schema in enumerate(schemas):
            (folder / f"{number}.avsc").write_text(json.dumps(schema))
        self.source = Source("s", topic="s", schema=str(folder / "0.avsc"), time=time)
        registry = FolderRegistry(folder)
        self.generated, self._slow = Decoder(self.source, registry), Decoder(self.source, registry)

    def check(self, value: bytes | None) -> Any:
        """Compare what both say of a value, and return it."""
        with patch("fastdata.events.decoder.compile_reader", lambda *_: None):
            expected = outcome(self._slow, value)
        assert outcome(self.generated, value) == expected
        return expected


def time_of(schema: Any) -> str:
    """The first field that can be the event time."""
    return next(str(f["name"]) for f in schema["fields"] if "timestamp-m" in str(f["type"]))


def reordered(rng: Random, schema: Any) -> Any:
    """The event by another version, whose fields have wider types, other names and places."""
    other = copy.deepcopy(schema)
    for field in other["fields"]:
        match field["type"]:
            case "int" | "long" | "float" if rng.random() < 0.5:
                field["type"] = rng.choice(["long", "float", "double"])
                field.pop("default", None)
            case "string" | "bytes" if rng.random() < 0.5:
                field["type"] = rng.choice(["string", "bytes"])
            case {"type": "array", "items": "int" | "string" | "bytes"}:
                field["type"]["items"] = rng.choice(["long", "double", "string", "bytes"])
            case {"type": "enum"} if rng.random() < 0.5:
                field["type"] |= {"symbols": ["red", "one"], "default": "one"}
        if not isinstance(field["type"], list) and rng.random() < 0.3:
            field["type"] = rng.choice([["null", field["type"]], [field["type"], "null"]])
            field.pop("default", None)
    if "'name'" not in str([field["type"] for field in other["fields"]]):
        rng.shuffle(other["fields"])
    return other


def send(rng: Random, schema: Any, time: str, count: int) -> int:
    """Decode random and mutated records of three writers; how many of them are events."""
    newer = rng.choice([newer_schema, reordered])(rng, schema)
    schemas = [schema, newer, new_schema(rng, "avro", "Other")]
    if rng.random() < 0.5:
        schemas[:2] = newer, schema
    with TemporaryDirectory() as folder:
        try:
            decoders = Decoders(Path(folder), schemas, time)
        except DeclarationError:  # as an array of what takes no bytes
            return 0
        sender = Sender(rng, schemas, time, "avro")
        return sum(len(decoders.check(sender.value())) == 3 for _ in range(count))


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.stem)
def test_mutated_records_of_declared_schemas(path: Path) -> None:
    schema = json.loads(path.read_text())

    assert send(Random(path.stem), schema, time_of(schema), 1_000) > 100


@given(st.integers(0, 2**32))
def test_mutated_records_of_random_schemas(seed: int) -> None:
    rng = Random(seed)
    send(rng, new_schema(rng, "avro", "Event"), "at", RECORDS)


@given(st.data())
def test_values_of_all_types(data: st.DataObject) -> None:
    typed = data.draw(types())
    record = {"type": "record", "name": "A", "fields": [AT, {"name": "x", "type": typed.declared}]}
    with TemporaryDirectory() as folder:
        decoders = Decoders(Path(folder), [record])
        for value in data.draw(st.lists(typed.values, min_size=1, max_size=5)):
            decoders.check(encode(decoders.source.schema, {"at": NOW, "x": value}))


def record(*fields: Any) -> Schema:
    return Schema.parse(json.dumps({"type": "record", "name": "A", "fields": fields}))


def field(type: Any, **more: Any) -> Any:
    return {"name": "x", "type": type, **more}


MONEY = {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 3}
COLOR = {"type": "enum", "name": "Color", "symbols": ["red", "green", "blue"]}
PLACE = {"type": "record", "name": "Place", "fields": [{"name": "city", "type": "string"}]}
MICROS = {"type": "long", "logicalType": "timestamp-micros"}
FIXED = {"type": "fixed", "name": "F", "size": 3}
HASH = {"type": "fixed", "name": "U", "size": 16, "logicalType": "uuid"}
UUID = "12345678-1234-5678-1234-567812345678"
CENTS = {"type": "fixed", "name": "C", "size": 8, "logicalType": "decimal", "precision": 18}


@pytest.mark.parametrize(
    ("type", "values"),
    [
        ("null", [None]),
        ("boolean", [True, False]),
        ("int", [0, -1, 63, -64, 64, -65, 8191, 8192, -8193, 2**31 - 1, -(2**31)]),
        ("long", [2**40, -(2**40), 2**62, -(2**62) - 1, 2**63 - 1, -(2**63)]),
        (AT["type"], [0, 1, NOW, -NOW, 1 << 41, 1 << 33, (1 << 33) - 1]),
        (MICROS, [0, NOW * 1000, -NOW * 1000, 1 << 47]),
        ("float", [1.5, float("inf"), -0.0]),
        ("double", [0.1, -1e300]),
        ("string", ["", "a", "é" * 40, "z" * 20_000]),
        ("bytes", [b"", b"\xff" * 70]),
        (COLOR, ["red", "blue"]),
        (FIXED, [b"abc"]),
        (HASH, [UUID]),
        (MONEY, [Decimal("-1.500"), Decimal("999999999.999"), Decimal("0.000")]),
        (CENTS, [Decimal(-5), Decimal(10**17)]),
        (["null", "string"], [None, "a"]),
        (["null", "long", "string", PLACE], [None, 5, "a", {"city": "b"}]),
        (PLACE, [{"city": "a"}]),
        ({"type": "array", "items": "int"}, [[], [1], list(range(100))]),
        ({"type": "map", "values": PLACE}, [{}, {"k": {"city": "a"}, "": {"city": "b"}}]),
        ({"type": "array", "items": {"type": "array", "items": ["null", "string"]}}, [[[None]]]),
    ],
    ids=str,
)
def test_nothing_usual_is_left_to_fastavro(tmp_path: Path, type: Any, values: list[Any]) -> None:
    schema = record(AT, field(type), {"name": "end", "type": "double"})
    read = compile_reader(schema)
    decoders = Decoders(tmp_path, [json.loads(schema.canonical)])
    assert read is not None
    for value in values:
        wire = encode(schema, {"at": NOW, "x": value, "end": 0.5})

        assert read(wire, 5) == {"at": NOW, "x": value, "end": 0.5}
        assert read(wire[5:], 0) == read(wire, 5)
        decoders.check(wire)


@pytest.mark.parametrize(
    ("writer", "reader", "values", "expected"),
    [
        ("string", field("long", default=7, aliases=["z"]), ["a"], [7]),
        ("int", field("long", aliases=["y"]), [5], [5]),
        ("int", field("double", aliases=["y"]), [5], [5.0]),
        ("long", field(["null", "float"], aliases=["y"]), [5], [5.0]),
        (["null", "int"], field(["double", "null"], aliases=["y"]), [None, 5], [None, 5.0]),
        (["null", "int"], field("int", aliases=["y"]), [5], [5]),
        ("string", field("bytes", aliases=["y"]), ["é"], ["é".encode()]),
        ("bytes", field("string", aliases=["y"]), [b"a"], ["a"]),
        (COLOR, field({**COLOR, "symbols": ["red"], "default": "red"}, aliases=["y"]),
         ["blue", "red"], ["red", "red"]),
        (PLACE, field({**PLACE, "fields": [{"name": "zip", "type": "int", "default": 0},
                                           *PLACE["fields"]]}, aliases=["y"]),
         [{"city": "a"}], [{"city": "a", "zip": 0}]),
        ({"type": "array", "items": "int"}, field({"type": "array", "items": "float"},
                                                  aliases=["y"]), [[1, 2]], [[1.0, 2.0]]),
        (["null", "int", PLACE], field(["string", PLACE, "long", "null"], aliases=["y"]),
         [None, 5, {"city": "a"}], [None, 5, {"city": "a"}]),
        (MONEY, field(["null", MONEY], aliases=["y"]), [Decimal("1.500")], [Decimal("1.500")]),
        *[(unread, field({"type": "array", "items": "int"}, default=[]), [value], [[]])
          for unread, value in [
              ("null", None), ("boolean", True), ("int", 99_999), ("double", 0.1), ("float", 0.5),
              ("bytes", b"\xff" * 70), (COLOR, "red"), (FIXED, b"abc"), (HASH, UUID),
              (MONEY, Decimal("1.500")), (["null", PLACE], {"city": "a"}),
              ({"type": "array", "items": PLACE}, [{"city": "a"}] * 70),
              ({"type": "map", "values": ["null", "string"]}, {"a": None, "b": "c"}),
          ]],
    ],
    ids=str,
)  # fmt: skip
def test_nothing_simple_of_another_schema_is_left_to_fastavro(
    tmp_path: Path, writer: Any, reader: Any, values: list[Any], expected: list[Any]
) -> None:
    theirs = record({"name": "y", "type": writer}, AT)
    ours = record(AT, reader)
    decoders = Decoders(tmp_path, [json.loads(ours.canonical), json.loads(theirs.canonical)])
    read = compile_reader(theirs, ours)
    assert read is not None
    for value, expectation in zip(values, expected, strict=True):
        wire = encode(theirs, {"y": value, "at": NOW})

        assert read(wire, 5) == {"at": NOW, "x": expectation}
        decoders.check(wire)


def test_each_event_has_its_own_default() -> None:
    theirs, ours = record(AT), record(AT, field({"type": "array", "items": "int"}, default=[]))
    read = compile_reader(theirs, ours)
    assert read is not None
    one, other = (read(encode(theirs, {"at": NOW}), 5) for _ in range(2))

    assert one == other == {"at": NOW, "x": []}
    assert one["x"] is not other["x"]


def test_what_is_unusual_is_left_to_fastavro(tmp_path: Path) -> None:
    schema = record(AT, field({"type": "array", "items": FIXED}))
    decoders = Decoders(tmp_path, [json.loads(schema.canonical)])
    read = compile_reader(schema)
    assert read is not None
    whole = encode(schema, {"at": NOW, "x": [b"abc", b"def"]})
    endless = whole[:11] + b"\xfe" * 8 + b"\x7e"
    too_many = whole[:11] + b"\x80\0" + b"\0"  # after an end that has two bytes
    for value in (endless, too_many, whole + b"\0", whole[:-1], whole[:8]):
        assert read(value, 5) is None
        decoders.check(value)


@pytest.mark.parametrize(
    ("writer", "reader", "value"),
    [
        (PLACE, {**PLACE, "name": "Town"}, {"city": "a"}),
        (FIXED, {**FIXED, "size": 4}, b"abc"),
        (COLOR, {**COLOR, "symbols": ["red"]}, "blue"),
        ("int", "string", 5),
    ],
    ids=str,
)
def test_what_cannot_be_read_as_another_type_is_a_mismatch(
    tmp_path: Path, writer: Any, reader: Any, value: Any
) -> None:
    theirs, ours = (record(AT, field(["null", type])) for type in (writer, reader))
    decoders = Decoders(tmp_path, [json.loads(ours.canonical), json.loads(theirs.canonical)])

    assert len(decoders.check(encode(theirs, {"at": NOW, "x": None}))) == 3
    assert "schema-mismatch" in decoders.check(encode(theirs, {"at": NOW, "x": value}))


def test_blocks_may_tell_their_size(tmp_path: Path) -> None:
    schema = record(AT, field({"type": "array", "items": "string"}), {"name": "y", "type": "int"})
    reader = record(AT, {"name": "y", "type": "int"})
    value = encode(schema, {"at": NOW, "x": ["a", "b"], "y": 7})
    assert value[11:12] == b"\x04"
    sized = value[:11] + b"\x03\x08" + value[12:]
    for ours, expected in (
        (schema, {"at": NOW, "x": ["a", "b"], "y": 7}),
        (reader, {"at": NOW, "y": 7}),
    ):
        read = compile_reader(schema, None if ours is schema else ours)
        folder = tmp_path / str(len(ours.fields))
        folder.mkdir()
        decoders = Decoders(folder, [json.loads(each.canonical) for each in (ours, schema)])
        assert read is not None

        assert read(sized, 5) == expected
        decoders.check(sized)


def test_large_schemas_are_left_to_fastavro() -> None:
    many = [{"name": f"f{number}", "type": "string"} for number in range(5_000)]
    deep: Any = "int"
    for _ in range(30):
        deep = {"type": "array", "items": deep}

    assert compile_reader(record(*many)) is None
    assert compile_reader(record(field(deep))) is None
    assert differences(record(*many), record(*many)) == []


@pytest.mark.parametrize("name", ["class", "data", "fields", "read", "v1", "None"])
def test_fields_may_have_any_name(name: str) -> None:
    schema = record({"name": name, "type": "int"})
    read = compile_reader(schema)

    assert read is not None
    assert read(encode(schema, {name: 5}), 5) == {name: 5}
