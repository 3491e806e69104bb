"""Columns and values of a flat table, from Arrow to SQL."""

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
from pyarrow import compute as pc
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Double,
    LargeBinary,
    Numeric,
    Text,
)
from sqlalchemy.dialects.mysql import DATETIME, LONGBLOB, LONGTEXT, VARCHAR
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

from fastdata.errors import ExportError

__all__ = ["KEY", "NAME", "NEVER_NULL", "columns_of", "records_of"]

KEY = "row_key"
"""With `window_start` the primary key: a digest of the dimensions, of which any can be null."""

_BINARY = "utf8mb4_bin"  # to MySQL's own collations A is a
NAME = Text().with_variant(VARCHAR(64, collation=_BINARY), "mysql")
"""Text that can be a key."""

NEVER_NULL = ("window_start", "window_end", "layer", "exact", "updated_at")
"""The columns of any table that always have a value."""

_FIRST, _LAST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)


def columns_of(schema: pa.Schema) -> list[Column[Any]]:
    """The columns of a table: those of the schema, and the key of a row.

    Raises:
        ExportError: A type has no counterpart in SQL.
    """
    columns: list[Column[Any]] = [
        Column(
            field.name,
            _sql_type(field),
            primary_key=field.name == "window_start",
            nullable=field.name not in NEVER_NULL,
        )
        for field in schema
    ]
    return [*columns, Column(KEY, NAME, primary_key=True)]


def _sql_type(field: pa.Field) -> TypeEngine[Any]:
    type, is_ = field.type, pa.types
    simple: tuple[tuple[Callable[[pa.DataType], bool], TypeEngine[Any]], ...] = (
        (is_.is_boolean, Boolean()),
        (is_.is_integer, BigInteger()),
        (is_.is_floating, Double()),
        (is_.is_string, Text().with_variant(LONGTEXT(collation=_BINARY), "mysql")),
        (is_.is_timestamp, DateTime(timezone=True).with_variant(DATETIME(fsp=6), "mysql")),
        (is_.is_date, Date()),
        (is_.is_binary, LargeBinary().with_variant(LONGBLOB(), "mysql")),
        (
            is_.is_nested,
            JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql"),
        ),
    )
    for fits, counterpart in simple:
        if fits(type):
            return counterpart
    if is_.is_decimal(type):
        return Numeric(type.precision, type.scale).with_variant(Double(), "sqlite")
    raise ExportError(f"{field.name!r} has the type {type}, for which SQL has no column")


def records_of(
    rows: pa.Table, by: Sequence[str], is_exact: bool, has_nan: bool = True
) -> list[dict[str, object]]:
    """The rows as the driver takes them, each with its key.

    Args:
        rows: With the columns of the table.
        by: The dimensions among them.
        is_exact: Whether the database knows decimals; otherwise they are floats.
        has_nan: Whether it knows floats that are no finite number; otherwise they are null.
    """
    names = rows.schema.names
    columns = [_values(rows.column(name), is_exact, has_nan) for name in names]
    keys = _keys([rows.column(name) for name in by], rows.num_rows)
    return [
        dict(zip((*names, KEY), values, strict=True)) for values in zip(*columns, keys, strict=True)
    ]


def _keys(dims: Sequence[pa.ChunkedArray], rows: int) -> list[str]:
    if not dims:
        return [""] * rows
    plain = [_plain(column).to_pylist() for column in dims]
    digests: dict[tuple[object, ...], str] = {}
    keys = []
    for values in zip(*plain, strict=True):
        if (key := digests.get(values)) is None:
            text = json.dumps(values, ensure_ascii=False).encode()
            key = digests[values] = hashlib.blake2b(text, digest_size=16).hexdigest()
        keys.append(key)
    return keys


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Instants and dates as the numbers that they are."""
    if pa.types.is_timestamp(column.type):
        return column.cast(pa.int64())
    return column.cast(pa.int32()) if pa.types.is_date32(column.type) else column


def _values(column: pa.ChunkedArray, is_exact: bool, has_nan: bool) -> list[object]:
    type = column.type
    if pa.types.is_timestamp(type) or pa.types.is_date(type):
        # Few different ones in many rows, and each costs a microsecond.
        coded = _sayable(column).combine_chunks().dictionary_encode()
        words = [*coded.dictionary.to_pylist(), None]
        return [words[index] for index in coded.indices.fill_null(len(words) - 1).to_pylist()]
    if pa.types.is_floating(type) and not has_nan:
        column = pc.if_else(pc.is_finite(column), column, pa.scalar(None, type))
    values = column.to_pylist()
    if pa.types.is_string(type):
        # PostgreSQL has no text with a zero character in it.
        return [v.replace("\0", "\N{REPLACEMENT CHARACTER}") if v else v for v in values]
    if pa.types.is_decimal(type) and not is_exact:
        return [None if v is None else float(v) for v in values]
    if pa.types.is_nested(type):
        return [_jsonable(v) for v in values]
    return list(values)


def _sayable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Without what no `datetime` can say: instants of other years than 1 to 9999 are null."""
    type = column.type
    if pa.types.is_timestamp(type):
        column = column.cast(pa.timestamp("us", tz="UTC"), safe=False)
        first, last = pa.scalar(_FIRST, column.type), pa.scalar(_LAST, column.type)
    else:
        first, last = pa.scalar(_FIRST.date(), type), pa.scalar(_LAST.date(), type)
    fits = pc.and_(pc.greater_equal(column, first), pc.less(column, last))
    return pc.if_else(fits, column, pa.scalar(None, column.type))


def _jsonable(value: object) -> object:
    match value:
        case list() | tuple():
            return [_jsonable(item) for item in value]
        case dict():
            return {str(name): _jsonable(item) for name, item in value.items()}
        case float():
            return value if math.isfinite(value) else str(value)
        case datetime() | date():
            return value.isoformat()
        case Decimal():
            return str(value)
        case bytes():
            return value.hex()
        case str():
            return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
    return value
