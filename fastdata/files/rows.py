"""What all files of events have in common."""

import base64
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, Protocol

from fastdata.events.fieldtypes import SchemaNode

__all__ = ["EventFile", "FileFormat", "FileRow", "dump_object", "without_nan"]

FileFormat = Literal["json", "csv", "avro", "parquet"]


@dataclass(frozen=True, slots=True)
class FileRow:
    """One row of a file, or why it cannot be read.

    Attributes:
        number: Of the line that it ends in, or of the row, from 1; 0 where that is not known.
        fields: By key, as values of JSON, bytes or `Decimal`; texts where the file has no types.
            None where the row cannot be read.
        problem: What is wrong with it.
    """

    number: int
    fields: dict[str, Any] | None
    problem: str = ""


class EventFile(Protocol):
    """The rows of a file that is open."""

    @property
    def format(self) -> FileFormat:
        """Of the file."""

    @property
    def declared(self) -> Mapping[str, SchemaNode] | None:
        """The Avro record that the file itself says its rows are; None where it says nothing.

        It has the file's own names of fields, and None as the type of what no event can have.
        """

    def rows(self) -> Iterator[FileRow]:
        """All rows, from the first on.

        Raises:
            FastdataError: From here on the file cannot be read.
        """

    def spread(self) -> Iterator[FileRow]:
        """About 10,000 rows from all over what `rows` has not given yet; none in a pipe.

        Raises:
            FastdataError: From here on the file cannot be read.
        """


def dump_object(fields: Mapping[str, Any]) -> bytes:
    """A row as one JSON object: bytes as base64, decimals as text, and null for what is no number.

    That JSON has neither NaN nor infinities is known to fewer writers than use NaN for null.
    """
    try:
        return _dumped(fields)
    except ValueError:
        return _dumped(without_nan(fields))


def without_nan(value: Any) -> Any:
    """The value with None for each NaN and each infinity in it."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {key: without_nan(member) for key, member in value.items()}
        case list():
            return [without_nan(item) for item in value]
    return value


def _dumped(fields: Mapping[str, Any]) -> bytes:
    text = json.dumps(
        fields, ensure_ascii=False, allow_nan=False, default=_as_text, separators=(",", ":")
    )
    return text.encode(errors="replace")


def _as_text(value: bytes | Decimal) -> str:
    return str(value) if isinstance(value, Decimal) else base64.b64encode(value).decode()
