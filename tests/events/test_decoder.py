"""From the bytes of the log to events: every way in which they can be bad has its own reason."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastdata import Source
from fastdata.errors import BadEventError, DeclarationError, MapError, SettingsError
from fastdata.events.decoder import Decoder, Event
from fastdata.events.registry import FolderRegistry, open_registry
from fastdata.events.schema import Schema, encode

FIELDS: list[object] = [
    {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}]},
    {"name": "id", "type": "string"},
    {"name": "price", "type": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 9,
                                        "scale": 2}]},
]  # fmt: skip


def write(folder: Path, name: str, fields: Sequence[object]) -> Schema:
    path = folder / f"{name}.avsc"
    path.write_text(json.dumps({"type": "record", "name": "Sale", "fields": fields}))
    return Schema.load(path)


def declare(folder: Path) -> Source:
    """The source of `sale.avsc`; its times are near 0."""
    path = str(folder / "sale.avsc")
    return Source("sales", topic="sales", schema=path, time="at", id="id", oldest="1970-01-01")


@pytest.fixture
def source(tmp_path: Path) -> Source:
    write(tmp_path, "sale", FIELDS)
    return declare(tmp_path)


@pytest.fixture
def decoder(source: Source, tmp_path: Path) -> Decoder:
    return Decoder(source, FolderRegistry(tmp_path))


def reason(decoder: Decoder, value: bytes | None) -> str:
    with pytest.raises(BadEventError) as caught:
        decoder.decode(value)
    return f"{caught.value.stage}: {caught.value.reason}"


def test_an_event_has_its_time_id_and_fields(source: Source, decoder: Decoder) -> None:
    value = encode(source.schema, {"at": 5, "id": "a", "price": None})

    assert decoder.decode(value) == Event(5, "a", {"at": 5, "id": "a", "price": None})


@pytest.mark.parametrize("value", [None, b""])
def test_a_record_without_a_value_is_empty(decoder: Decoder, value: bytes | None) -> None:
    assert reason(decoder, value) == "decode: empty"


@pytest.mark.parametrize("value", [b"\0\0\0\1", b'{"id": "a"}', b"\1\0\0\0\1abc"])
def test_other_formats_have_no_magic(decoder: Decoder, value: bytes) -> None:
    assert reason(decoder, value) == "decode: no-magic"


def test_an_unknown_id_is_told(decoder: Decoder) -> None:
    assert reason(decoder, b"\0\0\0\0\1abc") == "decode: unknown-schema"


def test_bytes_too_few_and_too_many_are_malformed(source: Source, decoder: Decoder) -> None:
    value = encode(source.schema, {"at": 5, "id": "abc", "price": None})

    assert reason(decoder, value[:-3]) == "decode: malformed"
    assert reason(decoder, value + b"\0") == "decode: malformed"


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (None, "time: time-null"),
        (-1, "time: time-out-of-range"),
        (2**62, "time: time-out-of-range"),
    ],
)
def test_a_null_or_absurd_time_is_told(
    source: Source, decoder: Decoder, time: int | None, expected: str
) -> None:
    value = encode(source.schema, {"at": time, "id": "a", "price": None})

    assert reason(decoder, value) == expected


@pytest.mark.parametrize(
    ("unit", "time", "detail"),
    [
        ("millis", 1_700_000_000, "at is 1700000000: looks like seconds"),
        ("millis", 1_700_000_000_000_000, "at is 1700000000000000: looks like microseconds"),
        ("millis", 1_700_000_000_000_000_000, "at is 1700000000000000000: looks like nanoseconds"),
        ("micros", 1_700_000_000, "at is 1700000000: looks like seconds"),
        ("micros", 1_700_000_000_000, "at is 1700000000000: looks like milliseconds"),
        ("millis", 0, "at is 0, before 1971-01-01 00:00: see oldest of the source"),
        ("millis", -1, "at is -1"),
    ],
)
def test_a_time_that_is_absurd_says_which_unit_it_looks_like(
    tmp_path: Path, unit: str, time: int, detail: str
) -> None:
    at = {"name": "at", "type": {"type": "long", "logicalType": f"timestamp-{unit}"}}
    schema = write(tmp_path, "sale", [at])
    source = Source("sales", topic="sales", schema=str(tmp_path / "sale.avsc"), time="at")

    with pytest.raises(BadEventError) as caught:
        Decoder(source, FolderRegistry(tmp_path)).decode(encode(schema, {"at": time}))

    assert caught.value.reason == "time-out-of-range"
    assert caught.value.detail == detail


def test_the_oldest_event_is_what_the_source_says(tmp_path: Path) -> None:
    schema = write(tmp_path, "sale", FIELDS)
    source = Source(
        "sales", topic="sales", schema=str(tmp_path / "sale.avsc"), time="at", oldest="2000-01-01"
    )
    decoder = Decoder(source, FolderRegistry(tmp_path))
    first = 946_684_800_000

    def sale(at: int) -> bytes:
        return encode(schema, {"at": at, "id": "a", "price": None})

    assert decoder.decode(sale(first)).time == first
    assert reason(decoder, sale(first - 1)) == "time: time-out-of-range"


def test_a_schema_whose_field_has_another_type_does_not_fit(
    decoder: Decoder, source: Source, tmp_path: Path
) -> None:
    other = write(tmp_path, "other", [*FIELDS[:1], {"name": "id", "type": "long"}, *FIELDS[2:]])
    value = encode(other, {"at": 5, "id": 7, "price": None})

    assert reason(Decoder(source, FolderRegistry(tmp_path)), value) == "decode: schema-mismatch"


def test_an_older_schema_is_read_with_the_defaults(source: Source, tmp_path: Path) -> None:
    older = write(tmp_path, "older", FIELDS)
    note = {"name": "note", "type": "string", "default": "none"}
    write(tmp_path, "sale", [*FIELDS, note])
    newer = declare(tmp_path)
    decoder = Decoder(newer, FolderRegistry(tmp_path))

    event = decoder.decode(encode(older, {"at": 5, "id": "a", "price": None}))

    assert event.fields == {"at": 5, "id": "a", "price": None, "note": "none"}


@pytest.mark.parametrize("type", ["string", "bytes", {"type": "fixed", "name": "F", "size": 3}])
def test_a_field_that_is_cut_off_is_noticed_although_nobody_reads_it(
    source: Source, tmp_path: Path, type: object
) -> None:
    newer = write(tmp_path, "newer", [*FIELDS, {"name": "more", "type": type}])
    decoder = Decoder(source, FolderRegistry(tmp_path))
    more = "abc" if type == "string" else b"abc"
    value = encode(newer, {"at": 5, "id": "a", "price": None, "more": more})

    assert decoder.decode(value).id == "a"
    for end in range(7, len(value)):
        assert reason(decoder, value[:end]) == "decode: malformed"


@pytest.mark.parametrize("items", ["float", "double", {"type": "fixed", "name": "F", "size": 3}])
@pytest.mark.parametrize("nested", ["array", "map"])
def test_a_count_of_what_is_not_there_takes_no_time_although_nobody_reads_it(
    source: Source, tmp_path: Path, items: object, nested: str
) -> None:
    type = {"type": nested, "items": items, "values": items}
    newer = write(tmp_path, "newer", [*FIELDS, {"name": "more", "type": type}])
    decoder = Decoder(source, FolderRegistry(tmp_path))
    empty: object = [] if nested == "array" else {}
    value = encode(newer, {"at": 5, "id": "a", "price": None, "more": empty})

    assert decoder.decode(value).id == "a"
    assert reason(decoder, value[:-1] + b"\xfe" * 8 + b"\x7e") == "decode: malformed"


def test_a_map_function_changes_and_drops_events(source: Source, decoder: Decoder) -> None:
    @source.map
    def keep_a(event: dict[str, object]) -> dict[str, object] | None:
        return {**event, "price": 1} if event["id"] == "a" else None

    fields = [
        decoder.decode(encode(source.schema, {"at": 5, "id": id, "price": None})).fields
        for id in ("a", "b")
    ]

    assert fields == [{"at": 5, "id": "a", "price": 1}, None]


def test_a_map_function_that_raises_is_no_bad_event(source: Source, decoder: Decoder) -> None:
    @source.map
    def broken(event: dict[str, object]) -> dict[str, object] | None:
        return {"price": event["nothing"]}

    with pytest.raises(MapError, match=r"map function of source 'sales' .*raised KeyError"):
        decoder.decode(encode(source.schema, {"at": 5, "id": "a", "price": None}))


def test_microseconds_become_milliseconds(tmp_path: Path) -> None:
    micros = {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}}
    schema = write(tmp_path, "micros", [micros])
    source = Source(
        "m", topic="m", schema=str(tmp_path / "micros.avsc"), time="at", oldest="1970-01-01"
    )

    event = Decoder(source, FolderRegistry(tmp_path)).decode(encode(schema, {"at": 5_999}))

    assert event.time == 5


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_bad(
    tmp_path_factory: pytest.TempPathFactory, tail: bytes
) -> None:
    folder = tmp_path_factory.mktemp("schemas")
    schema = write(folder, "sale", FIELDS)
    source = declare(folder)
    decoder = Decoder(source, FolderRegistry(folder))
    try:
        event = decoder.decode(b"\0" + schema.id.to_bytes(4, "big") + tail)
    except BadEventError:
        return

    assert 0 <= event.time


def test_the_canonical_text_gives_the_same_id(source: Source) -> None:
    assert Schema.parse(source.schema.canonical).id == source.schema.id


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not an Avro schema"),
        ('{"type": "string"}', "not an Avro record"),
        ('{"type":"record","name":"A","fields":[{"name":"a","type":["null","A"]}]}', "itself"),
        (
            (
                '{"type":"record","name":"A","fields":'
                '[{"name":"a","type":{"type":"array","items":"null"}}]}'
            ),
            "array of nulls",
        ),
        (
            (
                '{"type":"record","name":"A","fields":'
                f'[{{"name":"a","type":"double","default":1{"0" * 400}}}]}}'
            ),
            "too large",
        ),
    ],
)  # fmt: skip
def test_a_schema_that_cannot_be_used_is_refused(text: str, message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        Schema.parse(text, "x.avsc")


def test_an_event_time_of_another_unit_is_a_mismatch_whatever_its_name_was(
    tmp_path: Path,
) -> None:
    micros = {"type": "long", "logicalType": "timestamp-micros"}
    old = write(tmp_path, "old", [{"name": "at_us", "type": micros}, *FIELDS[1:]])
    renamed = {"name": "at", "type": ["null", {**micros, "logicalType": "timestamp-millis"}]}
    write(tmp_path, "sale", [{**renamed, "aliases": ["at_us"]}, *FIELDS[1:]])
    reader = declare(tmp_path)
    value = encode(old, {"at_us": 1_700_000_000_000_000, "id": "a", "price": None})

    assert reason(Decoder(reader, FolderRegistry(tmp_path)), value) == "decode: schema-mismatch"


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("Other", {"name": "at", "type": "long"}, 5),
        ("A", {"name": "at", "type": ["null", "long"]}, None),
        ("A", {"name": "at", "type": "string"}, "5"),
    ],
    ids=["another record", "no value of the branch that is known", "another type"],
)
def test_an_event_that_does_not_resolve_is_a_mismatch(
    tmp_path: Path, name: str, field: dict[str, object], value: object
) -> None:
    declared = {"type": "record", "name": "A", "fields": [{"name": "at", "type": "long"}]}
    (tmp_path / "x.avsc").write_text(json.dumps(declared))
    writer = Schema.parse(json.dumps({"type": "record", "name": name, "fields": [field]}))
    source = Source("x", topic="x", schema=str(tmp_path / "x.avsc"), time="at", oldest="1970-01-01")
    decoder = Decoder(source, FolderRegistry(tmp_path))

    with pytest.raises(BadEventError, match="schema-mismatch"):
        decoder.decode_datum(writer, encode(writer, {"at": value})[5:])


def test_a_registry_must_be_a_folder_that_exists(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="FASTDATA_REGISTRY"):
        open_registry(str(tmp_path / "nothing"))
    with pytest.raises(SettingsError, match="folder"):
        open_registry("ftp://localhost:8081")
    with pytest.raises(SettingsError, match="user:password@host:port"):
        open_registry("http://")
