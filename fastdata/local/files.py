"""Events of files, as the values of a topic."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from fastdata.declare.source import Source
from fastdata.errors import BadEventError
from fastdata.events.formats import open_reader
from fastdata.events.schema import encode
from fastdata.files.opening import format_of, open_events
from fastdata.files.rows import FileFormat, dump_object
from fastdata.files.values import ValueCheck, values_of_texts
from fastdata.local.sender import Value

__all__ = ["SkippedRows", "read_values"]


@dataclass(slots=True)
class SkippedRows:
    """Rows that are left out: how many, and what the first one is."""

    count: int = 0
    first: str = ""

    def add(self, number: int, problem: str) -> None:
        """One more.

        Args:
            number: Of the row, from 1.
        """
        self.count += 1
        self.first = self.first or f"{number:,}: {problem}"

    def __str__(self) -> str:
        return f"; {self.count:,} rows are left out, the first is {self.first}" * bool(self.count)


def read_values(path: Path, source: Source, skipped: SkippedRows) -> Iterator[Value]:
    """The events of a file, in its order, as they are sent to the topic of a source.

    A line is sent as it is to a source of text or JSON, also if it will be a dead letter, but for
    empty ones of JSON. A row of
    CSV, of an Avro container or of Parquet becomes an object with the types of the source's schema,
    and so does a line for a source of Avro; one that does not fit is left out.

    Args:
        skipped: What is left out is added to it.

    Raises:
        FastdataError: The file cannot be read, or not from here on.
        OSError: The same.
    """
    check = ValueCheck(source)
    value_of = _encoder(source) if source.format == "avro" else None
    with path.open("rb") as file:
        format = _format(path, file, source)
        if format is None:
            for line in file:
                value = line.rstrip(b"\r\n")
                if value or source.format == "text":
                    yield check.key_of(value), value
            return
        opened = open_events(file, format)
        dump = values_of_texts(source.schema) if opened.format == "csv" else dump_object
        for row in opened.rows():
            if row.fields is None:
                skipped.add(row.number, row.problem)
                continue
            value = dump(row.fields)
            try:
                yield value_of(value) if value_of else (check.key_of(value), value)
            except BadEventError as error:
                skipped.add(row.number, str(error))


def _format(path: Path, file: BinaryIO, source: Source) -> FileFormat | None:
    """What the rows are; None for lines that are values."""
    if source.format == "text":
        return None
    format = format_of(file)
    if format in ("avro", "parquet"):
        return format
    if path.suffix.lower() in (".csv", ".tsv"):
        return "csv"
    return "json" if source.format == "avro" else None


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
