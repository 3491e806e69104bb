"""What can be read with what."""

import json

import pytest

from fastdata.events.evolution import differences
from fastdata.events.schema import Schema


def schema(*fields: dict[str, object], name: str = "Sale") -> Schema:
    return Schema.parse(json.dumps({"type": "record", "name": name, "fields": fields}))


def field(type: object, **more: object) -> dict[str, object]:
    return {"name": "x", "type": type, **more}


MONEY = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
CENTS = {**MONEY, "scale": 3}
MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
DAY = {"type": "int", "logicalType": "date"}
DAYTIME = {"type": "int", "logicalType": "time-millis"}
MICROS = {"type": "long", "logicalType": "timestamp-micros"}
COLORS = {"type": "enum", "name": "Color", "symbols": ["red", "blue"]}
RED = {**COLORS, "symbols": ["red"]}
PLACE = {"type": "record", "name": "Place", "fields": [{"name": "city", "type": "string"}]}


def place(member: dict[str, object]) -> dict[str, object]:
    return {"type": "record", "name": "Place", "fields": [member]}


STREET = {**PLACE, "fields": [{"name": "street", "type": "string"}]}


@pytest.mark.parametrize(
    ("writer", "reader"),
    [
        (field("int"), field("long")),
        (field("float"), field("double")),
        (field("string"), field(["null", "string"])),
        (field(["null", "int"]), field(["null", "long"])),
        (field(RED), field(COLORS)),
        (field(COLORS), field({**RED, "default": "red"})),
        (field("long"), field(MILLIS)),
        (field({"type": "array", "items": "int"}), field({"type": "array", "items": "long"})),
        ({"name": "y", "type": "int"}, field("int", aliases=["y"])),
        ({"name": "y", "type": "int"}, field("int", default=7)),
        ({"name": "y", "type": MICROS}, field(["null", MICROS], aliases=["y"])),
        (field(["null", MILLIS, "string"]), field(["string", MILLIS, "null"])),
        (field("int"), field(DAY)),
    ],
)
def test_types_that_avro_resolves_differ_in_nothing(
    writer: dict[str, object], reader: dict[str, object]
) -> None:
    assert differences(schema(writer), schema(reader)) == []


@pytest.mark.parametrize(
    ("writer", "reader", "reason"),
    [
        (field("string"), field("long"), "x: string cannot be read as long"),
        (field("long"), field("int"), "x: long cannot be read as int"),
        (field(["null", "long"]), field("long"), "x: [null, long] cannot be read as long"),
        (field("long"), field(["null", "string"]), "x: long cannot be read as [null, string]"),
        (field(COLORS), field(RED), "x: the reader does not know the symbols blue"),
        (field(MONEY), field(CENTS), "x: decimal of scale 2 is not decimal of scale 3"),
        (field(MICROS), field(MILLIS), "x: timestamp in us is not timestamp in ms"),
        (
            {"name": "y", "type": MILLIS},
            field(MICROS, aliases=["y"]),
            "x: timestamp in ms is not timestamp in us",
        ),
        (
            {"name": "y", "type": DAYTIME},
            field(DAY, aliases=["y"]),
            "x: time of another unit is not date",
        ),
        (field("int"), field(MILLIS), "x: int of 32 bits is not timestamp in ms"),
        (field(DAY), field(MILLIS), "x: date is not timestamp in ms"),
        (
            field(["null", MILLIS, "string"]),
            field(["null", MICROS, "string"]),
            "x: timestamp in ms is not timestamp in us",
        ),
        (
            field({"type": "array", "items": ["null", MONEY]}),
            field({"type": "array", "items": ["null", CENTS]}),
            "x[]: decimal of scale 2 is not decimal of scale 3",
        ),
        (
            field(place({"name": "was", "type": MILLIS})),
            field(["null", place({"name": "at", "type": MICROS, "aliases": ["was"]})]),
            "x.at: timestamp in ms is not timestamp in us",
        ),
        (
            field({"type": "map", "values": place({"name": "was", "type": MILLIS})}),
            field({"type": "map", "values": place(field(MICROS, aliases=["was"]))}),
            "x{}.x: timestamp in ms is not timestamp in us",
        ),
        (
            field(PLACE),
            field(STREET),
            "x.street: the writer does not have it, and it has no default",
        ),
        (
            field({"type": "map", "values": "int"}),
            field({"type": "map", "values": "string"}),
            "x{}: int cannot be read as string",
        ),
    ],
)
def test_a_difference_says_where_it_is(
    writer: dict[str, object], reader: dict[str, object], reason: str
) -> None:
    assert differences(schema(writer), schema(reader)) == [reason]


def test_of_two_fields_that_are_read_as_one_nobody_knows_which_is_meant() -> None:
    old: dict[str, object] = {"name": "was", "type": "long"}
    for writer in (schema(field("long"), old), schema(old, field("long"))):
        names = " and ".join(writer.fields)

        assert differences(writer, schema(field("long", aliases=["was"])), in_part=True) == [
            f"x: the writer has {names}, of which one alone can be meant"
        ]


def test_a_unit_differs_for_all_events_though_some_can_be_null() -> None:
    writer, reader = schema(field(["null", MILLIS])), schema(field(MICROS))

    assert differences(writer, reader, in_part=True) == [
        "x: timestamp in ms is not timestamp in us"
    ]
    assert differences(writer, schema(field(MILLIS)), in_part=True) == []


def test_records_of_different_names_are_different() -> None:
    one, other = schema(field("int")), schema(field("int"), name="Return")

    assert differences(one, other) == ["the record: Sale is not Return"]


def test_what_some_events_can_have_is_no_difference_in_part() -> None:
    writer, reader = schema(field(["null", "long"])), schema(field("long"))

    assert differences(writer, reader, in_part=True) == []
