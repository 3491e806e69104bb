"""JSON and lines of text give the events that Avro gives, and nothing that does not fit."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastdata import Source
from fastdata.errors import BadEventError, DeclarationError
from fastdata.events.decoder import Decoder, Event
from fastdata.events.registry import FolderRegistry
from fastdata.events.schema import Schema, encode
from tests.support.avro import Typed, types

AT = {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}}
MONEY = {"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 2}
LOCAL = {"type": "long", "logicalType": "local-timestamp-millis"}
NOON = 1_709_204_400_000  # 2024-02-29T11:00:00Z


def declare(
    folder: Path, *fields: object, format: Any = "json", pattern: str | None = None
) -> Decoder:
    path = folder / "event.avsc"
    path.write_text(json.dumps({"type": "record", "name": "Event", "fields": [AT, *fields]}))
    source = Source(
        "events",
        topic="events",
        schema=str(path),
        time="at",
        format=format,
        pattern=pattern,
        oldest="1970-01-01",
    )
    return Decoder(source, FolderRegistry(folder))


def timestamp(unit: str, logical: str = "timestamp-millis") -> dict[str, str]:
    return {"type": "long", "logicalType": logical, "unit": unit}


def x(type: object, **more: object) -> dict[str, object]:
    return {"name": "x", "type": type, **more}


def read(decoder: Decoder, value: Any) -> Any:
    """The field x of an event whose JSON says this of it."""
    fields = decoder.decode(json.dumps({"at": 5, "x": value}).encode()).fields
    assert fields is not None
    return fields["x"]


def refusal(decoder: Decoder, value: bytes | None) -> str:
    with pytest.raises(BadEventError) as caught:
        decoder.decode(value, NOON)
    error = caught.value
    return f"{error.stage}: {error.reason}: {error.detail}"


@settings(
    deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(types(), st.data())
def test_json_gives_what_avro_gives(tmp_path: Path, typed: Typed, data: st.DataObject) -> None:
    value = data.draw(typed.values)
    decoder = declare(tmp_path, x(typed.declared))
    schema = Schema.load(tmp_path / "event.avsc")

    found = decoder.decode(json.dumps({"at": 5, "x": typed.written(value, "json")}).encode())

    as_avro = Decoder(
        Source(
            "events",
            topic="events",
            schema=str(tmp_path / "event.avsc"),
            time="at",
            oldest="1970-01-01",
        ),
        FolderRegistry(tmp_path),
    ).decode(encode(schema, {"at": 5, "x": value}))
    assert repr(found) == repr(as_avro)


@pytest.mark.parametrize(
    ("type", "written", "meant"),
    [
        (AT["type"], "2024-02-29T12:00:00+01:00", NOON),
        (AT["type"], "2024-02-29T11:00:00.1239Z", NOON + 123),
        (AT["type"], NOON, NOON),
        ({"type": "long", "logicalType": "timestamp-micros"}, "2024-02-29T11:00:00Z", NOON * 1000),
        (timestamp("s"), NOON // 1000, NOON),
        (timestamp("s"), NOON / 1000 + 0.123, NOON + 123),
        (timestamp("ns"), NOON * 10**6 + 999_999, NOON),
        (timestamp("ms", "timestamp-micros"), NOON, NOON * 1000),
        (timestamp("s"), "2024-02-29T11:00:00Z", NOON),
        (LOCAL, NOON, NOON),
        (LOCAL, "2024-02-29T11:00:00.1239", NOON + 123),
        ({**LOCAL, "logicalType": "local-timestamp-micros"}, "2024-02-29 11:00", NOON * 1000),
        ({"type": "int", "logicalType": "date"}, "1970-02-01", 31),
        ("double", 1, 1.0),
        ("float", 0.1, 0.10000000149011612),
        ("bytes", "AP8=", b"\0\xff"),
        ({"type": "enum", "name": "E", "symbols": ["a"], "default": "a"}, "b", "a"),
        (
            {"type": "fixed", "name": "U", "size": 16, "logicalType": "uuid"},
            "0123ABCD-0123-4567-89AB-0123456789AB",
            "0123abcd-0123-4567-89ab-0123456789ab",
        ),
        ("string", "\U0001f600\\ud800", "\U0001f600\\ud800"),
    ],
)
def test_what_json_may_say(tmp_path: Path, type: object, written: object, meant: object) -> None:
    assert repr(read(declare(tmp_path, x(type)), written)) == repr(meant)


@pytest.mark.parametrize("number", ["1.5", "1.50", '"1.5"', "15e-1", '"1.5E0"'])
def test_a_decimal_loses_nothing(tmp_path: Path, number: str) -> None:
    value = f'{{"at": 5, "x": {number}}}'.encode()
    fields = declare(tmp_path, x(MONEY)).decode(value).fields

    assert fields is not None
    assert str(fields["x"]) == "1.50"


def test_a_double_beside_a_decimal_is_a_float(tmp_path: Path) -> None:
    money = {"name": "money", "type": MONEY, "default": "\u0001"}

    assert repr(read(declare(tmp_path, x("double"), money), 0.1)) == "0.1"


@pytest.mark.parametrize(
    ("type", "written", "reason"),
    [
        ("long", 2**63, "x does not fit into long: 9223372036854775808"),
        ("int", -(2**31) - 1, "x does not fit into int: -2147483649"),
        ("long", 1.0, "x is no integer: 1.0"),
        ("long", True, "x is no integer: True"),
        ("long", "1", "x is no integer: '1'"),
        ("long", None, "x is no integer: None"),
        ("boolean", 1, "x is no boolean: 1"),
        ("string", 1, "x is no text: 1"),
        ("double", 10**400, "x does not fit into double: 1"),
        ("float", 1e39, "x does not fit into float: 1e+39"),
        ("double", "1", "x is no number: '1'"),
        (MONEY, "1.234", "x is no decimal of precision 5 and scale 2: '1.234'"),
        (MONEY, 1000, "x is no decimal of precision 5 and scale 2: 1000"),
        (MONEY, "1e999999999999999999999999", "x is no decimal of precision 5"),
        (MONEY, "NaN", "x is no decimal of precision 5 and scale 2: 'NaN'"),
        (MONEY, True, "x is no decimal of precision 5 and scale 2: True"),
        ("bytes", "???", "x is no base64 text: '???'"),
        ({"type": "fixed", "name": "F", "size": 3}, "AP8=", "x is not 3 bytes: 'AP8='"),
        ({"type": "enum", "name": "E", "symbols": ["b", "a"]}, "c", "x is none of a, b: 'c'"),
        (AT["type"], "2024-02-29T12:00:00", "no offset from UTC; add Z if it is UTC"),
        (AT["type"], "yesterday", "x is no time in ISO 8601"),
        (AT["type"], 1.5, "x is no integer: 1.5"),
        (timestamp("s"), 2**62, "x does not fit into long: 4611686018427387904"),
        (timestamp("s"), True, "x is no number: True"),
        (LOCAL, "2024-02-29T12:00:00Z", "x is no local time: it has an offset from UTC"),
        ({"type": "array", "items": "int"}, [1, "2"], "x[1] is no integer: '2'"),
        ({"type": "map", "values": ["null", "int"]}, {"a": None, "b": ""}, "x['b'] is no integer"),
        (
            {"type": "record", "name": "R", "fields": [x("int")]},
            {"y": 1},
            "x.x is missing, and has no default",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_with_its_place(
    tmp_path: Path, type: object, written: object, reason: str
) -> None:
    found = refusal(declare(tmp_path, x(type)), json.dumps({"at": 5, "x": written}).encode())

    assert found.startswith("decode: schema-mismatch: x")
    assert reason in found


def test_a_key_that_is_no_name_of_avro_is_told_by_the_schema(tmp_path: Path) -> None:
    decoder = declare(tmp_path, x("int", json="order no."))

    assert decoder.decode(b'{"at": 5, "order no.": 7}') == Event(5, None, {"at": 5, "x": 7})
    assert refusal(decoder, b'{"at": 5, "x": 7}') == (
        "decode: schema-mismatch: order no. is missing, and has no default"
    )


def test_a_missing_field_is_its_default_or_told(tmp_path: Path) -> None:
    tags = {"name": "tags", "type": {"type": "array", "items": "string"}, "default": []}
    decoder = declare(tmp_path, x("int"), tags)

    assert decoder.decode(b'{"at": 5, "x": 1, "unknown": {}}') == Event(
        5, None, {"at": 5, "x": 1, "tags": []}
    )
    assert refusal(decoder, b'{"at": 5}') == (
        "decode: schema-mismatch: x is missing, and has no default"
    )


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "empty"),
        (b"", "empty"),
        (b"\0\0\0\0\1abc", "malformed"),
        (b'{"at": 5', "malformed"),
        (b'{"at": 5, "x": NaN}', "malformed"),
        (b'{"at": 5, "x": "\xff"}', "malformed"),
        (b'{"at": 5, "x": "\\ud800"}', "malformed"),
        (b"[" * 100_000, "malformed"),
        (b'{"at": 5, "x": ' + b"1" * 5_000 + b"}", "malformed"),
        (b"[]", "schema-mismatch"),
        (b'"' + b"[]" * 60 + b'"', "schema-mismatch"),  # JSON that was encoded twice
        (b'{"at": "2300-01-01T00:00:00Z", "x": "a"}', "time-out-of-range"),
    ],
)
def test_what_is_no_event_is_told(tmp_path: Path, value: bytes | None, reason: str) -> None:
    assert refusal(declare(tmp_path, x("string")), value).split(": ")[1] == reason


LINE = x("string")
COUNT = {"name": "count", "type": ["null", "int"], "default": None}


@pytest.mark.parametrize("frames", [0, 200])
def test_what_becomes_of_nested_json_depends_on_its_bytes_alone(
    tmp_path: Path, frames: int
) -> None:
    decoder = declare(tmp_path, x("int"))
    too_deep = "decode: malformed: it is nested more than 100 levels deep"

    def nested(more: str, levels: int) -> bytes:
        return f'{{"at": 5, {more} "y": {"[" * levels}{"]" * levels}, "x": 1}}'.encode()

    def below(frames: int, value: bytes) -> str:
        if frames:
            return below(frames - 1, value)
        try:
            return str(decoder.decode(value).fields)
        except BadEventError as error:
            return f"{error.stage}: {error.reason}: {error.detail}"

    assert below(frames, nested("", 99)) == "{'at': 5, 'x': 1}"
    for levels in (100, 700, 972, 100_000):
        assert below(frames, nested("", levels)) == too_deep
    assert below(frames, nested('"y": 1,', 700)) == too_deep
    assert below(frames, nested('"z": "\\\\",', 700)) == too_deep
    # What is in a text, or beside each other, is not nested.
    assert below(frames, nested(f'"z": "{"[" * 500}\\"{"{" * 500}",', 1)) == "{'at': 5, 'x': 1}"
    assert below(frames, nested(f'"z": [{"[{}]," * 500} 1],', 1)) == "{'at': 5, 'x': 1}"


def test_the_nesting_of_what_is_no_json_is_told_in_linear_time(tmp_path: Path) -> None:
    value = b'["' + b'\\"' * 500_000 + b"[" * 200

    assert refusal(declare(tmp_path, x("int")), value).startswith("decode: malformed")


def test_a_line_without_a_pattern_is_the_field_line(tmp_path: Path) -> None:
    decoder = declare(tmp_path, {"name": "line", "type": "string"}, format="text")

    for value in (b"to be", b"to be\n", b"to be\r\n"):
        assert decoder.decode(value, NOON) == Event(NOON, None, {"at": NOON, "line": "to be"})
    assert decoder.decode(b"", NOON).fields == {"at": NOON, "line": ""}


def test_a_pattern_gives_the_fields(tmp_path: Path) -> None:
    decoder = declare(
        tmp_path, x("string"), COUNT, format="text",
        pattern=r"(?P<at>\S+ \S+) (?P<x>\w+)(?: (?P<count>\d+))?",
    )  # fmt: skip
    at = b"29/Feb/2024:12:00:00 +0100"

    assert decoder.decode(at + b" a 7").fields == {"at": NOON, "x": "a", "count": 7}
    assert decoder.decode(at + b" a").fields == {"at": NOON, "x": "a", "count": None}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "decode: empty"),
        (b"a\nb 1", "decode: no-match"),
        (b"\xff 1", "decode: malformed"),
        (b"a 2147483648", "decode: schema-mismatch: count does not fit into int"),
        (b"a " + b"1" * 30, "decode: schema-mismatch: count is no integer"),
    ],
)
def test_a_line_that_cannot_be_read_is_told(
    tmp_path: Path, value: bytes | None, reason: str
) -> None:
    decoder = declare(tmp_path, LINE, COUNT, format="text", pattern=r"(?P<x>\w+) (?P<count>\d+)")

    assert refusal(decoder, value).startswith(reason)


def test_a_line_takes_linear_time_whatever_the_pattern(tmp_path: Path) -> None:
    decoder = declare(tmp_path, LINE, format="text", pattern=r"(?P<x>(\w+\s*)+):(?:.*,){12}end")

    assert refusal(decoder, b"a" * 100_000) == (
        "decode: no-match: the line does not match the pattern"
    )
    assert refusal(decoder, b"a:" + b"," * 100_000).startswith("decode: no-match")
    assert decoder.decode(b"a b:" + b"," * 100_000 + b"end", NOON).fields == {
        "at": NOON,
        "x": "a b",
    }


def test_groups_are_text_whatever_letters_they_have(tmp_path: Path) -> None:
    decoder = declare(tmp_path, LINE, format="text", pattern=r"é(?P<x>[\pL]+), (?:.{2})\S*")

    assert decoder.decode("éäß日, 😀😀é".encode(), NOON).fields == {"at": NOON, "x": "äß日"}


@pytest.mark.parametrize(
    ("type", "text", "meant"),
    [
        ("long", "-5", -5),
        ("double", "2.5e3", 2500.0),
        ("boolean", "true", True),
        (MONEY, "1.5", "1.50"),
        (AT["type"], str(NOON), NOON),
        (AT["type"], "2024-02-29T11:00:00Z", NOON),
        ({"type": "int", "logicalType": "date"}, "1970-01-02", 1),
        (["null", {"type": "enum", "name": "E", "symbols": ["GET"]}], "GET", "GET"),
    ],
)
def test_parts_of_a_line_have_types(tmp_path: Path, type: object, text: str, meant: object) -> None:
    decoder = declare(tmp_path, x(type), format="text", pattern="(?P<x>.*)")
    fields = decoder.decode(text.encode(), NOON).fields

    assert fields is not None
    assert str(fields["x"]) == str(meant)


def test_a_record_without_a_timestamp_has_no_time(tmp_path: Path) -> None:
    decoder = declare(tmp_path, {"name": "line", "type": "string"}, format="text")

    with pytest.raises(BadEventError, match="at is null"):
        decoder.decode(b"a", -1)


@pytest.mark.parametrize(
    ("fields", "more", "message"),
    [
        ([LINE], {"format": "csv"}, "no format 'csv'; there are: avro, json, text"),
        ([LINE], {"format": "json", "pattern": "a"}, "a pattern is for format='text'"),
        ([x(["int", "string"])], {}, "field 'x': a union of several types"),
        ([x(timestamp("min"))], {}, "field 'x': unit is 'min'; it is one of: s, ms, us, ns"),
        ([x("int", json=1)], {}, "field 'x': json is 1; it is the text of a key"),
        ([LINE], {"format": "text", "pattern": "("}, "of RE2: missing ): (; look-around"),
        ([LINE], {"format": "text", "pattern": "(?P<x>a)(?!b)"}, "invalid perl operator: (?!"),
        ([LINE], {"format": "text", "pattern": r"(?P<x>.)\1"}, r"invalid escape sequence: \1"),
        ([LINE], {"format": "text", "pattern": "(?P<x>a)|(?P<x>b)"}, "names the group 'x' twice"),
        ([LINE], {"format": "text"}, "no such field; it has: at, x"),
        ([LINE, COUNT], {"format": "text", "pattern": "(?P<count>.)"}, "nothing gives the field"),
        (
            [x({"type": "array", "items": "int"})],
            {"format": "text", "pattern": "(?P<x>.)"},
            "field 'x': a part of a line cannot be a value of type array",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_when_it_is_declared(
    tmp_path: Path, fields: list[object], more: dict[str, Any], message: str
) -> None:
    with pytest.raises(DeclarationError, match="source 'events'") as caught:
        declare(tmp_path, *fields, **more)
    assert message in str(caught.value)


def test_another_pattern_is_another_definition(tmp_path: Path) -> None:
    first = declare(tmp_path, LINE, format="text", pattern="(?P<x>.)")
    second = declare(tmp_path, LINE, format="text", pattern="(?P<x>.*)")

    assert first.reader is not None
    assert second.reader is not None
    assert first.reader.id != second.reader.id
    assert isinstance(first._source, Source)
    assert isinstance(second._source, Source)
    assert first._source.describe() != second._source.describe()
