"""What is sent of a file's rows, and what is said of it before a worker does."""

import json
from pathlib import Path

import pytest

from fastdata import Source
from fastdata.events.schema import Schema
from fastdata.files.values import ValueCheck, values_of_texts

FIELDS = [
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "id", "type": ["null", "string"], "default": None},
    {"name": "n", "type": "long", "default": 0},
    {"name": "share", "type": ["null", "double"], "default": None},
    {"name": "ok", "type": ["null", "boolean"], "default": None},
    {"name": "order_no", "json": "order no.", "type": ["null", "string"], "default": None},
    {
        "name": "price",
        "type": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}],
        "default": None,
    },
]
NOON = 1_709_204_400_000


@pytest.fixture
def schema(tmp_path: Path) -> Path:
    path = tmp_path / "order.avsc"
    path.write_text(json.dumps({"type": "record", "name": "Order", "fields": FIELDS}))
    return path


@pytest.mark.parametrize(
    ("row", "written"),
    [
        ({"at": "1709204400000", "id": "007"}, {"at": NOON, "id": "007"}),
        ({"at": "2024-02-29T11:00:00Z", "id": ""}, {"at": "2024-02-29T11:00:00Z", "id": None}),
        ({"at": "1709204400.5"}, {"at": 1_709_204_400.5}),
        ({"share": "0.5", "ok": "True"}, {"share": 0.5, "ok": True}),
        ({"share": "NA", "ok": "n/a", "id": "NA"}, {"share": None, "ok": None, "id": "NA"}),
        ({"price": "12.30", "order no.": "12"}, {"price": "12.30", "order no.": "12"}),
        ({"n": "", "share": "high", "ok": "1"}, {"share": "high", "ok": "1"}),
        ({"other": "5"}, {"other": "5"}),
    ],
)
def test_a_row_of_texts_is_json_as_the_schema_reads_it(
    schema: Path, row: dict[str, str], written: object
) -> None:
    assert json.loads(values_of_texts(Schema.load(schema))(row)) == written


def test_values_that_will_be_dead_letters_are_counted_and_the_first_is_told(schema: Path) -> None:
    check = ValueCheck(
        Source("orders", topic="orders", schema=str(schema), time="at", id="id", format="json")
    )

    keys = [
        check.key_of(value)
        for value in (
            b'{"at": 1709204400000, "id": "a"}',
            b'{"at": 1709204400, "id": "b"}',
            b'{"at": 1709204400000}',
            b'{"id": "c"}',
            b"no JSON",
        )
    ]
    assert keys == [b"a", b"b", None, None, None]
    assert check.bad == 3
    assert check.first == ("2: time-out-of-range (at is 1709204400: looks like seconds)")


def test_without_a_source_that_reads_values_nothing_is_said(schema: Path) -> None:
    avro = Source("orders", topic="orders", schema=str(schema), time="at", id="id")

    for check in (ValueCheck(None), ValueCheck(avro)):
        assert (check.key_of(b"no JSON"), check.bad) == (None, 0)
