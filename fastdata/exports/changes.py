"""Rows of a flat table as Avro events: what the row says, and then what has changed in it.

The datum of an event begins with its *content*: window, dimensions, measures, layer and exact.
After it come the revision (1 for the first one of a row), `change_id`, which no other event has,
the two moments of a flat table, and for each count and sum by how much it differs from that of the
revision before. So the sum of all changes of a row is its value.
"""

import hashlib
import io
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import fastavro
import pyarrow as pa

from fastdata.errors import ExportError
from fastdata.events.schema import HEAD_BYTES, Schema
from fastdata.exports.table import FlatTable
from fastdata.measures.count import Count
from fastdata.measures.sums import Sum

__all__ = ["RowContent", "RowEvents", "Sent"]

_MOMENTS = ("read_until", "updated_at")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ENDS, _SUFFIX = ("", "_lower", "_upper"), "_change"
_INSTANT = {"type": "long", "logicalType": "timestamp-millis"}


@dataclass(frozen=True, slots=True)
class RowContent:
    """What a row says, in Avro.

    Attributes:
        key: JSON of the start of its window and its dimensions.
        end: Of its window, ms UTC.
        is_exact: Whether it counts all of its events for sure.
        moments: Up to when the log was read, and when the row was written, ms UTC.
    """

    key: bytes
    end: int
    content: bytes
    is_exact: bool
    moments: tuple[int | None, int]


@dataclass(frozen=True, slots=True)
class Sent:
    """The newest event of a row."""

    content: bytes
    revision: int


class RowEvents:
    """The events of the rows of a flat table.

    Attributes:
        schema: Of each of them.

    Raises:
        ExportError: A column cannot be a field in Avro.
    """

    def __init__(self, flat: FlatTable) -> None:
        self._by = flat.by
        answers = [f"{name}{end}" for name in flat.metric.columns for end in _ENDS]
        self._measures = [name for name in answers if name in flat.schema.names]
        self._zeros = {
            name: Decimal(0) if pa.types.is_decimal(flat.schema.field(name).type) else 0
            for name, measure in flat.metric.measures.items()
            if isinstance(measure, (Count, Sum))
        }
        types = {f.name: _avro_type(f) for f in flat.schema if f.name not in _MOMENTS}
        rest = {
            "revision": "long",
            "change_id": "string",
            "read_until": ["null", _INSTANT],
            "updated_at": _INSTANT,
            **{f"{name}{_SUFFIX}": types[name][1] for name in self._zeros},
        }
        _check_names(flat.metric.name, types, rest)
        self.schema = _parse(flat.name, types | rest)
        self._content = _parse(flat.name, types).parsed
        self._rest = _parse(flat.name, rest).parsed
        self._columns = pa.schema([(f.name, _plain_type(f.type)) for f in flat.schema])

    def contents(self, rows: pa.Table) -> Iterator[RowContent]:
        """What the rows of a flat table say."""
        for row in rows.cast(self._columns).to_pylist():
            place = [row["window_start"], *(row[name] for name in self._by)]
            key = json.dumps(place, default=str, ensure_ascii=False, separators=(",", ":"))
            moments = row["read_until"], row["updated_at"]
            content = self._dump(row)
            yield RowContent(key.encode(), row["window_end"], content, row["exact"], moments)

    def event(self, row: RowContent, before: Sent | None, schema_id: int) -> tuple[bytes, Sent]:
        """The event that says what a row has become, and what is known of the row then.

        Args:
            before: The event before it of the same row; None for none.
            schema_id: What a registry gave the schema.

        Raises:
            ExportError: A sum of integers has changed by more than 64 bits hold.
        """
        sent = Sent(row.content, before.revision + 1 if before else 1)
        old = self._read(before.content) if before else {}
        new = self._read(row.content)
        digest = hashlib.blake2b(row.key, digest_size=10).hexdigest()
        rest: dict[str, object] = {
            "revision": sent.revision,
            "change_id": f"{digest}-{sent.revision}",
            **dict(zip(_MOMENTS, row.moments, strict=True)),
        }
        for name, zero in self._zeros.items():
            rest[f"{name}{_SUFFIX}"] = _finite(new[name], zero) - _finite(old.get(name), zero)
        out = io.BytesIO()
        out.write(b"\0" + schema_id.to_bytes(4, "big") + row.content)
        try:
            fastavro.schemaless_writer(out, self._rest, rest)
        except OverflowError as error:
            raise ExportError(
                f"the row {row.key.decode()} has changed by more than 64 bits hold, from"
                f" {old} to {new}: declare the field as a decimal or a double"
            ) from error
        return out.getvalue(), sent

    def read(self, value: bytes) -> tuple[int, Sent]:
        """The end of the window of an event's row, ms UTC, and what is known of the row then.

        Raises:
            ExportError: It is no event of such a row.
        """
        datum = io.BytesIO(value[HEAD_BYTES:])
        try:
            row = self._reading(datum)
            content = value[HEAD_BYTES : HEAD_BYTES + datum.tell()]
            revision: Any = fastavro.schemaless_reader(datum, {"type": "long"}, None)
            return row["window_end"], Sent(content, revision)
        except (EOFError, ValueError, IndexError, KeyError, TypeError) as error:
            raise ExportError(f"{value[:40]!r}… is no row of such a table") from error

    def emptied(self, content: bytes) -> bytes:
        """What a row that is no more says: its window and dimensions, and no measure."""
        row = self._read(content)
        nothing = dict.fromkeys(self._measures)
        return self._dump(row | nothing | {"layer": None, "exact": False})

    def _dump(self, row: dict[str, Any]) -> bytes:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, self._content, row)
        return out.getvalue()

    def _read(self, content: bytes) -> dict[str, Any]:
        return self._reading(io.BytesIO(content))

    def _reading(self, datum: io.BytesIO) -> dict[str, Any]:
        row = fastavro.schemaless_reader(datum, self._content, None)
        assert isinstance(row, dict)  # noqa: S101 - of a record
        return row


def _finite(value: Any, zero: Any) -> Any:
    """A number that a sum survives: nothing that is taken from an infinity leaves a number."""
    is_number = value is not None and math.isfinite(value)
    return value if is_number else zero


def _check_names(metric: str, types: Mapping[str, Any], rest: Mapping[str, Any]) -> None:
    for name in (*types, *rest):
        is_name = _NAME.fullmatch(name)
        if not is_name or (name in types and name in rest):
            raise ExportError(
                f"metric {metric!r} cannot be exported to a topic with {name!r}: "
                + ("each event has a" if is_name else "Avro takes no")
                + " field of that name; leave that dimension out, or declare it under another name"
            )


def _parse(name: str, types: Mapping[str, Any]) -> Schema:
    fields = [{"name": field, "type": type} for field, type in types.items()]
    return Schema.parse(json.dumps({"type": "record", "name": name, "fields": fields}))


def _avro_type(field: pa.Field) -> Any:
    if field.name in ("window_start", "window_end"):
        return _INSTANT
    if field.name == "exact":
        return "boolean"
    return ["null", _value_type(field.type, field.name)]


def _value_type(type: pa.DataType, name: str) -> Any:
    types = pa.types
    if types.is_list(type):
        return {"type": "array", "items": ["null", _value_type(type.value_type, name)]}
    if types.is_struct(type):
        parts = [
            {"name": part.name, "type": ["null", _value_type(part.type, f"{name}_{part.name}")]}
            for part in type
        ]
        return {"type": "record", "name": f"{name}_item", "fields": parts}
    if types.is_decimal(type):
        logical = {"logicalType": "decimal", "precision": type.precision, "scale": type.scale}
        return {"type": "bytes", **logical}
    if types.is_timestamp(type):
        unit = {"ms": "millis", "us": "micros"}[type.unit]
        return {"type": "long", "logicalType": f"timestamp-{unit}"}
    if types.is_date32(type):
        return {"type": "int", "logicalType": "date"}
    plain = {
        pa.int64(): "long",
        pa.float64(): "double",
        pa.string(): "string",
        pa.bool_(): "boolean",
    }
    return plain[type]


def _plain_type(type: pa.DataType) -> pa.DataType:
    """The type with instants and dates as the numbers that they are."""
    types = pa.types
    if types.is_list(type):
        return pa.list_(_plain_type(type.value_type))
    if types.is_struct(type):
        return pa.struct([(part.name, _plain_type(part.type)) for part in type])
    if types.is_timestamp(type):
        return pa.int64()
    return pa.int32() if types.is_date32(type) else type
