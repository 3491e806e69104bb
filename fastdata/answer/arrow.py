"""Answers as Arrow tables: their columns, and their metadata."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TypedDict, cast

import pyarrow as pa

from fastdata.answer.joint import JointDoubts
from fastdata.answer.merge import Row
from fastdata.answer.request import QueryRequest
from fastdata.coordinates.instants import to_iso
from fastdata.declare.derived import AnyMetric
from fastdata.errors import QueryError
from fastdata.measures.numbers import arrow_type

__all__ = [
    "Description",
    "answer_schema",
    "answer_table",
    "describe",
    "described",
    "schema_of",
]

_KEY = b"fastdata"
_INSTANT = pa.timestamp("ms", tz="UTC")


class Description(TypedDict):
    """What a table answers; instants are ISO text in UTC, None where nothing is stored.

    `zone` is the time zone of days, weeks and months, and of instants that were given without one;
    `unfolded` is how many events of the range the speed layer has only counted and batch not yet,
    `definition` the id of the metric that answered. Where that has nothing, and a definition before
    it has, `earlier` is that one's id, `start` and `end`, and as a `hint` what to do. `replayed`
    are the stretches of time, in all windows, whose hours batch has counted, and `gaps` those whose
    rows have a gap.
    """

    metric: str
    definition: str
    start: str | None
    end: str | None
    every: str
    rolling: str | None
    zone: str
    by: list[str]
    where: str | None
    order: list[str]
    limit: int | None
    fresh_until: str | None
    read_until: str | None
    unfolded: int
    replayed: list[dict[str, str]]
    gaps: list[dict[str, str]]
    earlier: dict[str, str] | None


def answer_schema(metric: AnyMetric, by: Sequence[str], layers: bool = False) -> pa.Schema:
    """The columns of an answer: window, dimensions, measures with their bounds, and how sure.

    Args:
        by: The dimensions that are asked for.
        layers: Whether there is a column `layer`.

    Raises:
        QueryError: The column `layer` is asked for, and the metric has one of that name.
    """
    types = {name: metric.dimension_type(name) for name in by}
    dimensions = {name: arrow_type(type.kind, unit=type.unit) for name, type in types.items()}
    measures = {name: column.arrow_type() for name, column in metric.columns.items()}
    schema = schema_of(dimensions, measures)
    if layers:
        if "layer" in schema.names:
            raise QueryError(
                f"metric {metric.name!r} has a column 'layer' of its own, so its answers cannot"
                " say which layer a row is of: give that dimension or measure another name"
            )
        schema = schema.append(pa.field("layer", pa.string()))
    return schema


def schema_of(
    dimensions: Mapping[str, pa.DataType], measures: Mapping[str, pa.DataType]
) -> pa.Schema:
    """The columns of an answer of these dimensions and measures, by name."""
    columns = {"window_start": _INSTANT, "window_end": _INSTANT, **dimensions}
    for name, type in measures.items():
        columns |= {name + suffix: type for suffix in ("", "_lower", "_upper")}
    columns |= {"exact": pa.bool_(), "fresh_until": _INSTANT, "read_until": _INSTANT}
    return pa.schema(columns | {"gap": pa.bool_()})


def answer_table(schema: pa.Schema, rows: Iterable[Row], doubts: JointDoubts) -> pa.Table:
    """The rows as a table.

    Args:
        schema: Columns of `answer_schema`.
        rows: In the order of the table.
        doubts: About what was read.

    Raises:
        QueryError: A value does not fit its column's type.
    """
    lines: list[tuple[object, ...]] = []
    moments = doubts.fresh_until, doubts.read_until
    for row in rows:
        start, end, dims, estimates, is_exact, has_gap, layer = row
        values = [part for e in estimates for part in (e.value, e.lower, e.upper)]
        lines.append((start, end, *dims, *values, is_exact, *moments, has_gap, layer))
    columns = list(zip(*lines, strict=True)) if lines else [()] * len(schema)
    # The layer is the last, and not always asked for.
    columns = columns[: len(schema)]
    fields = [_widened(field, column) for field, column in zip(schema, columns, strict=True)]
    arrays = [_array(field, column) for field, column in zip(fields, columns, strict=True)]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def describe(table: pa.Table) -> Description:
    """What a table of `query` answers; it is kept in the schema's metadata, also in Parquet.

    Raises:
        QueryError: The table is not one of `query`.
    """
    metadata = table.schema.metadata or {}
    if _KEY not in metadata:
        raise QueryError("this table was not made by a query")
    return cast("Description", json.loads(metadata[_KEY]))


def described(
    table: pa.Table,
    metric: AnyMetric,
    request: QueryRequest,
    whole: tuple[int, int] | None,
    doubts: JointDoubts,
    about: Mapping[str, object],
) -> pa.Table:
    """The table with what it answers in its metadata.

    Args:
        request: With both ends known, unless nothing is stored.
        whole: From where to where all windows are, ms UTC; None when there are none.
        doubts: About what was read.
        about: The dimensions that were asked for, as `by`, and what else is to be said.
    """
    description: Description = {
        "metric": metric.name,
        "definition": metric.id,
        "start": _iso(request.start),
        "end": _iso(request.end),
        "every": request.grain,
        "rolling": request.rolling,
        "zone": request.calendar.zone,
        "by": [],
        "where": None,
        "order": [],
        "limit": None,
        "fresh_until": _iso(doubts.fresh_until),
        "read_until": _iso(doubts.read_until),
        "unfolded": doubts.unfolded,
        "replayed": _stretches(doubts.replayed(*whole)) if whole else [],
        "gaps": _stretches(doubts.may_lack(*whole)) if whole else [],
        "earlier": None,
    }
    return table.replace_schema_metadata({_KEY: json.dumps({**description, **about})})


def _stretches(intervals: Iterable[tuple[int, int]]) -> list[dict[str, str]]:
    return [{"start": to_iso(start), "end": to_iso(end)} for start, end in intervals]


def _iso(time_ms: int | None) -> str | None:
    return None if time_ms is None else to_iso(time_ms)


def _widened(field: pa.Field, values: Sequence[object]) -> pa.Field:
    """The field itself, or one for integers past 64 bits: sums are exact at any size."""
    if field.type != pa.int64():
        return field
    whole = [value for value in values if isinstance(value, int)]
    if not whole or (-(1 << 63) <= min(whole) and max(whole) < 1 << 63):
        return field
    largest = max(map(abs, whole))
    return field.with_type(pa.decimal128(38) if largest < 10**38 else pa.decimal256(76))


def _array(field: pa.Field, values: Sequence[object]) -> pa.Array:
    try:
        return pa.array(values, field.type)
    except (pa.ArrowException, OverflowError, ValueError, TypeError) as error:
        raise QueryError(
            f"a value of {field.name!r} does not fit its column's type {field.type}: {error}"
        ) from error
