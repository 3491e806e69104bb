"""The rows of an answer, some at a time: as JSON, CSV and tables have them."""

import json
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["batches", "json_rows", "write_csv", "write_json"]

_ROWS = 10_000  # at a time: as Python objects a million take gigabytes


def batches(table: "pa.Table") -> Iterator["pa.Table"]:
    """The table in pieces, with instants as ISO text; there is one at least."""
    import pyarrow as pa

    for start in range(0, max(table.num_rows, 1), _ROWS):
        rows = pa.array(range(start, min(start + _ROWS, table.num_rows)), pa.int64())
        piece = table.take(rows)
        columns = [_iso(column.combine_chunks()) for column in piece.columns]
        yield pa.Table.from_arrays(columns, names=table.schema.names)


def _iso(array: "pa.Array") -> "pa.Array":
    """The same with timestamps as text, also in lists and structs."""
    # Arrow formats any instant; a `datetime` only those of the years 1 to 9999.
    import pyarrow as pa
    from pyarrow import compute

    if pa.types.is_timestamp(array.type):
        text = compute.replace_substring(array.cast(pa.string()), " ", "T")
        return compute.replace_substring_regex(text, r"\.0+Z$", "Z")
    if pa.types.is_list(array.type):
        items, mask = _iso(array.values), array.is_null()
        return pa.ListArray.from_arrays(array.offsets, items, mask=mask)
    if pa.types.is_struct(array.type):
        names = [field.name for field in array.type]
        items = [_iso(array.field(name)) for name in names]
        return pa.StructArray.from_arrays(items, names, mask=array.is_null())
    return array


def write_csv(table: "pa.Table", out: BinaryIO) -> None:
    """Write an answer as CSV; a list is JSON, as CSV has none."""
    from pyarrow import csv

    pieces = map(_with_text_lists, batches(table))
    first = next(pieces)
    with csv.CSVWriter(out, first.schema) as writer:
        writer.write_table(first)
        for piece in pieces:
            writer.write_table(piece)


def _with_text_lists(table: "pa.Table") -> "pa.Table":
    import pyarrow as pa

    for index, field in enumerate(table.schema):
        if pa.types.is_list(field.type):
            lists = (_jsonable(value) for value in table.column(index).to_pylist())
            texts = [
                None if items is None else json.dumps(items, ensure_ascii=False) for items in lists
            ]
            table = table.set_column(index, field.name, pa.array(texts, pa.string()))
    return table


def write_json(table: "pa.Table", took_s: float, out: BinaryIO, **more: object) -> None:
    """Write an answer as one JSON object in one line.

    Args:
        more: What the object says besides.
    """
    from fastdata.answer.arrow import describe

    head = json.dumps({**more, **describe(table), "took_s": round(took_s, 3)}, ensure_ascii=False)
    out.write(f'{head[:-1]}, "rows": ['.encode())
    for number, row in enumerate(json_rows(table)):
        text = json.dumps(row, ensure_ascii=False, allow_nan=False)
        out.write(f"{', ' if number else ''}{text}".encode())
    out.write(b"]}\n")


def json_rows(table: "pa.Table") -> Iterator[dict[str, object]]:
    """The rows with values that JSON has."""
    for piece in batches(table):
        for row in piece.to_pylist():
            yield {name: _jsonable(value) for name, value in row.items()}


def _jsonable(value: object) -> object:
    if isinstance(value, list):
        return [_jsonable(item) for item in value]
    if isinstance(value, dict):
        return {name: _jsonable(item) for name, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float) else str(value)
