"""Lines and cells of files become events of a source."""

import json
from pathlib import Path

import pytest

from fastdata.declare.source import Source
from fastdata.events.decoder import Decoder
from fastdata.events.formats import Format
from fastdata.events.registry import FolderRegistry
from fastdata.local.files import SkippedRows, read_values
from fastdata.local.sender import Value

SCHEMA = {
    "type": "record",
    "name": "Order",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "price", "type": ["null", "double"]},
        {"name": "note", "type": "string"},
        {"name": "pieces", "type": "int", "default": 1},
        {"name": "gift", "type": ["null", "boolean"], "default": None},
    ],
}
NOON = 1_709_204_400_000  # 2024-02-29T11:00:00Z
FIRST = {"id": "7", "at": NOON, "price": 2.5, "note": "x, y", "pieces": 3, "gift": True}
SECOND = {"id": "8", "at": NOON, "price": None, "note": "", "pieces": 1, "gift": None}


def declare(folder: Path, format: Format = "avro") -> Source:
    (folder / "order.avsc").write_text(json.dumps(SCHEMA))
    schema = str(folder / "order.avsc")
    return Source("orders", topic="orders", schema=schema, time="at", id="id", format=format)


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, newline="")
    return path


def values_of(path: Path, source: Source) -> list[Value]:
    skipped = SkippedRows()
    values = list(read_values(path, source, skipped))
    assert "" == str(skipped)
    return values


def events(folder: Path, path: Path, source: Source) -> list[tuple[bytes | None, object]]:
    decoder = Decoder(source, FolderRegistry(folder))
    return [(key, decoder.decode(value, 0).fields) for key, value in values_of(path, source)]


@pytest.mark.parametrize("format", ["avro", "json"])
def test_objects_of_json_are_events_with_their_id_as_key(tmp_path: Path, format: Format) -> None:
    source = declare(tmp_path, format)
    lines = write(tmp_path, "a.jsonl", f"{json.dumps(FIRST)}\r\n{json.dumps(SECOND)}")

    assert events(tmp_path, lines, source) == [(b"7", FIRST), (b"8", SECOND)]


@pytest.mark.parametrize("format", ["avro", "json"])
def test_rows_of_csv_are_events_and_empty_cells_are_no_values(
    tmp_path: Path, format: Format
) -> None:
    source = declare(tmp_path, format)
    rows = write(
        tmp_path, "a.csv",
        "\ufeffnote,id,at,price,gift,pieces,unknown\r\n"
        f'"x, y",7,{NOON},2.5,true,3,u\r\n'
        ",8,2024-02-29T12:00:00+01:00,,,,\r\n",
    )  # fmt: skip

    assert events(tmp_path, rows, source) == [(b"7", FIRST), (b"8", SECOND)]


def test_lines_of_text_are_sent_as_they_are(tmp_path: Path) -> None:
    schema = '{"type":"record","name":"L","fields":[{"name":"line","type":"string"},%s]}'
    at = json.dumps(SCHEMA["fields"][1])
    (tmp_path / "line.avsc").write_text(schema % at)
    source = Source(
        "lines", topic="l", schema=str(tmp_path / "line.avsc"), time="at", format="text"
    )
    lines = write(tmp_path, "a.csv", "one,two\r\n\r\nthree")

    assert values_of(lines, source) == [
        (None, b"one,two"),
        (None, b""),
        (None, b"three"),
    ]


@pytest.mark.parametrize(
    ("name", "text", "number", "problem"),
    [
        (
            "a.jsonl",
            f'{json.dumps(FIRST)}\n{{"id": 1}}\n{json.dumps(SECOND)}\n',
            2,
            "id is no text: 1",
        ),
        (
            "a.csv",
            f"id,at,price,note\n7,{NOON},2,\n9,{NOON},cheap,\n8,{NOON},,\n",
            3,
            "no number: 'cheap'",
        ),
    ],
)
def test_a_row_that_does_not_fit_is_told_and_left_out(
    tmp_path: Path, name: str, text: str, number: int, problem: str
) -> None:
    skipped = SkippedRows()
    path = write(tmp_path, name, text)

    keys = [key for key, _ in read_values(path, declare(tmp_path), skipped)]

    assert [b"7", b"8"] == keys
    assert f"; 1 rows are left out, the first is {number}: " in str(skipped)
    assert problem in str(skipped)


def test_a_line_that_is_no_event_is_sent_to_become_a_dead_letter(tmp_path: Path) -> None:
    lines = write(tmp_path, "a.jsonl", f'{json.dumps(FIRST)}\n{{"id": \n')

    values = values_of(lines, declare(tmp_path, "json"))

    assert [(b"7", json.dumps(FIRST).encode()), (None, b'{"id": ')] == values
