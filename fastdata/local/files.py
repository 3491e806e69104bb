"""Events of files, as the values of a topic."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from fastdata.declare.source import Source
from fastdata.errors import BadEventError, LineError
from fastdata.events.formats import open_reader
from fastdata.events.schema import encode
from fastdata.local.sender import Value

__all__ = ["read_values"]

_TEXTS = ("string", "enum", "bytes", "fixed")


def read_values(path: Path, source: Source) -> Iterator[Value]:
    """The events of a file, in its order, as they are sent to the topic of a source.

    A line is one event: as it is for a source of text, else as a JSON object; in a file that ends
    in `.csv`, the cells of the fields that its first line names, where an empty one has no value.

    Raises:
        LineError: A line does not fit the source; says which. All before it were given.
        OSError: The file cannot be read.
    """
    number = 0
    value_of = _encoder(source) if source.format == "avro" else None
    try:
        for line in _lines(path, source):
            number += 1
            yield value_of(line) if value_of else (source.key_of(line), line)
    except (BadEventError, csv.Error, ValueError) as error:
        raise LineError(
            f"{path}: event {number or 1:,} does not fit the source {source.name!r}: {error}; "
            "those before it were sent"
        ) from error


def _lines(path: Path, source: Source) -> Iterator[bytes]:
    if path.suffix == ".csv" and source.format != "text":
        with path.open(encoding="utf-8-sig", newline="") as rows:
            yield from _objects(rows, source)
    else:
        with path.open("rb") as lines:
            yield from (line.rstrip(b"\r\n") for line in lines)


def _encoder(source: Source) -> Callable[[bytes], Value]:
    if (reader := open_reader("json", source.schema, source.time, None)) is None:
        raise AssertionError
    read = reader.read

    def encoded(line: bytes) -> Value:
        record = read(line, -1)
        identity = record[source.id] if source.id else None
        key = None if identity is None else str(identity).encode()
        return key, encode(source.schema, record)

    return encoded


def _objects(file: Iterable[str], source: Source) -> Iterator[bytes]:
    """The rows of a CSV file as JSON. An empty cell is the default of its field, "" or null."""
    fields: Any = source.schema.parsed["fields"]
    rows = csv.DictReader(file, strict=True)
    readers, empty = {}, {}
    for field in fields:
        name = field.get("json", field["name"])
        readers[name] = _cell_reader(field["type"])
        if "default" not in field:
            empty[name] = "" if field["type"] == "string" else None
    if missing := empty.keys() - (rows.fieldnames or ()):
        raise ValueError(f"the first line names no column {min(missing)!r}")
    for row in rows:
        cells = {name: read(row[name]) for name, read in readers.items() if row.get(name)}
        yield json.dumps(empty | cells, ensure_ascii=False).encode()


def _cell_reader(node: Any) -> Callable[[str], object]:
    """What makes a cell a value of JSON: a text stays as it is, and so does what is no number."""
    branches = [
        branch for branch in (node if isinstance(node, list) else [node]) if branch != "null"
    ]
    kinds = {branch["type"] if isinstance(branch, dict) else branch for branch in branches}

    def read(cell: str) -> object:
        try:
            return json.loads(cell)
        except ValueError:
            return cell

    return str if kinds <= {*_TEXTS, "null"} else read
