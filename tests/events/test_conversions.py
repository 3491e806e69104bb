"""Values come in one form, however deep they are and whatever schema wrote them."""

import json
from contextlib import nullcontext
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastdata import Source
from fastdata.errors import BadEventError, DeclarationError
from fastdata.events.decoder import Decoder
from fastdata.events.fieldtypes import FieldType
from fastdata.events.registry import FolderRegistry
from fastdata.events.schema import Schema, encode
from tests.support.avro import Typed, types

AT = {"name": "at", "type": "long"}
QUIET = settings(
    deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def event(*fields: dict[str, Any]) -> str:
    return json.dumps({"type": "record", "name": "Event", "fields": [AT, *fields]})


def decoder(folder: Path, text: str) -> Decoder:
    (folder / "event.avsc").write_text(text)
    source = Source(
        "events", topic="events", schema=str(folder / "event.avsc"), time="at", oldest="1970-01-01"
    )
    return Decoder(source, FolderRegistry(folder))


def read(decoder: Decoder, writer: Schema, **fields: Any) -> Any:
    found = decoder.decode_datum(writer, encode(writer, {"at": 5, **fields})[5:]).fields
    assert found is not None
    return found["x"]


def shape(value: Any) -> Any:
    """The value with its types: 1, 1.0 and True are equal, and so are all zeros of decimals."""
    match value:
        case dict():
            return {key: shape(each) for key, each in value.items()}
        case list():
            return [shape(each) for each in value]
    return type(value), repr(value)


@QUIET
@given(types(), st.data())
def test_what_is_encoded_comes_back_in_its_form(
    tmp_path: Path, typed: Typed, data: st.DataObject
) -> None:
    value = data.draw(typed.values)
    text = event({"name": "x", "type": typed.declared})

    found = read(decoder(tmp_path, text), Schema.parse(text), x=value)

    assert shape(found) == shape(value)


@QUIET
@given(types(), st.data())
def test_what_another_version_wrote_comes_in_the_same_form(
    tmp_path: Path, typed: Typed, data: st.DataObject
) -> None:
    value = data.draw(typed.values)
    field = {"name": "x", "type": typed.declared}
    writer = Schema.parse(event({"name": "gone", "type": "string"}, field))

    found = read(decoder(tmp_path, event(field)), writer, x=value, gone="")

    assert shape(found) == shape(value)


@QUIET
@given(types(), st.data())
def test_a_default_comes_in_the_same_form(
    tmp_path: Path, typed: Typed, data: st.DataObject
) -> None:
    value = data.draw(typed.values)
    declared = event(
        {"name": "x", "type": typed.declared, "default": typed.written(value, "default")}
    )

    found = read(decoder(tmp_path, declared), Schema.parse(event()))

    assert shape(found) == shape(value)


MONEY = {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}
PLACE = {"type": "record", "name": "Place", "namespace": "geo"}
CITY = {"name": "city", "type": "string"}
RENT = {"name": "rent", "type": MONEY, "default": "\u0001\u0000"}


def test_records_inside_of_others_evolve(tmp_path: Path) -> None:
    old = {"type": "array", "items": {**PLACE, "fields": [CITY]}}
    new = {"type": "array", "items": {**PLACE, "fields": [CITY, RENT]}}
    writer = Schema.parse(event({"name": "x", "type": old}))

    found = read(decoder(tmp_path, event({"name": "x", "type": new})), writer, x=[{"city": "Ulm"}])

    assert found == [{"city": "Ulm", "rent": Decimal("2.56")}]


def test_a_default_belongs_to_one_event_alone(tmp_path: Path) -> None:
    tags = {"name": "x", "type": {"type": "array", "items": "string"}, "default": ["a"]}
    reading, writer = decoder(tmp_path, event(tags)), Schema.parse(event())

    read(reading, writer).append("b")

    assert read(reading, writer) == ["a"]


@pytest.mark.parametrize(
    ("type", "default"),
    [
        (MONEY, "\u0fff"),
        (MONEY, "\u0001\u0000\u0000"),
        ({"type": "enum", "name": "E", "symbols": ["a"]}, "b"),
        ({**PLACE, "fields": [CITY]}, {}),
        ({"type": "array", "items": "int"}, ["1"]),
        (["null", "int"], "1"),
        ("int", 2**31),
        ("long", -(2**63) - 1),
        ("long", 1e300),
        ({"type": "array", "items": "double"}, [10**400]),
    ],
)
def test_a_default_that_does_not_fit_is_refused(type: object, default: object) -> None:
    with pytest.raises(DeclarationError, match=r"default|Default"):
        Schema.parse(event({"name": "x", "type": type, "default": default}))


def test_a_decimal_of_a_billion_digits_is_read_at_once(tmp_path: Path) -> None:
    text = event({"name": "x", "type": {**MONEY, "precision": 10**9}})
    writer = Schema.parse(text)

    assert read(decoder(tmp_path, text), writer, x=Decimal("-1.28")) == Decimal("-1.28")


@pytest.mark.parametrize("number", [9_999, -9_999, 10_000, -10_000])
def test_a_decimal_has_as_many_digits_as_its_precision_says(tmp_path: Path, number: int) -> None:
    text = event({"name": "x", "type": MONEY})
    value = Decimal(number).scaleb(-2)
    wider = Schema.parse(event({"name": "x", "type": {**MONEY, "precision": 5}}))
    datum = encode(wider, {"at": 5, "x": value})[5:]

    with nullcontext() if abs(value) < 100 else pytest.raises(BadEventError, match="precision 4"):
        found = decoder(tmp_path, text).decode_datum(Schema.parse(text), datum).fields
        assert found is not None
        assert found["x"] == value


def test_types_that_are_named_once_are_known_by_their_name() -> None:
    city = FieldType("record", fields=(("city", FieldType("string")),))
    schema = Schema.parse(
        event(
            {"name": "home", "type": {**PLACE, "fields": [CITY]}},
            {"name": "work", "type": ["null", "geo.Place"]},
            {"name": "all", "type": {"type": "map", "values": "geo.Place"}},
        )
    )

    assert schema.fields["home"] == city
    assert schema.fields["work"] == FieldType("record", nullable=True, fields=city.fields)
    assert schema.fields["all"] == FieldType("map", items=city)


def test_names_without_a_namespace_are_of_the_record_around_them() -> None:
    inner = {"type": "record", "name": "Inner", "fields": [CITY]}
    outer = {"type": "record", "name": "Outer", "namespace": "a.b", "fields": [
        {"name": "one", "type": inner}, {"name": "two", "type": "Inner"},
    ]}  # fmt: skip
    types = dict(Schema.parse(event({"name": "x", "type": outer})).fields["x"].fields)

    assert (
        types["one"] == types["two"] == FieldType("record", fields=(("city", FieldType("string")),))
    )


def chained(records: int) -> dict[str, object]:
    """A record of records in which each holds the one before it, by name."""
    fields: list[dict[str, object]] = []
    for n in range(records):
        inner = {"name": "a", "type": f"R{n - 1}" if n else "int"}
        record = {"type": "record", "name": f"R{n}", "fields": [inner]}
        fields.append({"name": f"f{n}", "type": record})
    return {"type": "record", "name": "Chain", "fields": fields}


def test_types_are_nested_100_levels_deep_at_most() -> None:
    Schema.parse(event({"name": "x", "type": chained(98)}))
    with pytest.raises(DeclarationError, match="types are nested more than 100 levels deep"):
        Schema.parse(event({"name": "x", "type": chained(99)}))
    arrays: object = "int"
    for _ in range(101):
        arrays = {"type": "array", "items": arrays}
    with pytest.raises(DeclarationError, match="is nested more than 100 levels deep"):
        Schema.parse(event({"name": "x", "type": arrays}))


@pytest.mark.parametrize("leaf", ["null", "int"])
def test_an_event_holds_10_000_values_at_most(leaf: str) -> None:
    def doubled(times: int) -> str:
        """Records with two of the record before."""
        types = [leaf, *(f"D{number}" for number in range(times))]
        records = [
            {"type": "record", "name": name, "fields": [{"name": f, "type": last} for f in "ab"]}
            for last, name in pairwise(types)
        ]
        return event(*({"name": f"x{n}", "type": each} for n, each in enumerate(records)))

    Schema.parse(doubled(12))
    with pytest.raises(DeclarationError, match="an event holds 2,251,799,813,685,247 values"):
        Schema.parse(doubled(50))


def test_a_record_that_contains_itself_by_its_full_name_is_refused() -> None:
    node = {**PLACE, "fields": [{"name": "next", "type": ["null", "geo.Place"]}]}

    with pytest.raises(DeclarationError, match="contains itself"):
        Schema.parse(event({"name": "x", "type": node}))


@pytest.mark.parametrize(
    "type",
    [
        "int",
        {"type": "int", "logicalType": "time-millis"},
        {"type": "long", "logicalType": "time-micros"},
        {"type": "long", "logicalType": "timestamp-nanos"},
        {"type": "int", "logicalType": "date"},
    ],
)
def test_what_counts_something_else_is_no_event_time(tmp_path: Path, type: object) -> None:
    path = tmp_path / "event.avsc"
    path.write_text(event({"name": "x", "type": type}))

    with pytest.raises(DeclarationError, match="use a timestamp in ms or us"):
        Source("events", topic="events", schema=str(path), time="x")
