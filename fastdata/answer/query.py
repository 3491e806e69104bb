"""Queries: from a metric and a range of time to an Arrow table."""

import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import TypedDict, cast

import pyarrow as pa

from fastdata.answer.items import ask
from fastdata.answer.merge import (
    Buckets,
    Row,
    fresh_until,
    held_range,
    merge,
    unfolded_events,
)
from fastdata.answer.ready import read_ready
from fastdata.answer.request import Asked
from fastdata.coordinates.instants import to_datetime
from fastdata.declare.metric import Metric
from fastdata.errors import QueryError
from fastdata.measures.numbers import arrow_type
from fastdata.settings import Settings
from fastdata.store.protocol import Reading, ServingStore

__all__ = [
    "INSTANT",
    "KEY",
    "Description",
    "answer_range",
    "answer_schema",
    "describe",
    "description",
    "open_reader",
    "query",
]

KEY = b"fastdata"
INSTANT = pa.timestamp("ms", tz="UTC")


class Description(TypedDict):
    """What a table answers; instants are ISO text in UTC.

    `zone` is the time zone of days, weeks and months, and of instants that were given without one;
    `unfolded` is how many events of the range the speed layer has only counted and batch not yet,
    `definition` the id of the metric that answered.
    """

    metric: str
    definition: str
    start: str | None
    end: str | None
    every: str
    rolling: str | None
    zone: str
    by: list[str]
    fresh_until: str | None
    unfolded: int


async def query(
    metric: Metric,
    start: str | datetime | None = None,
    end: str | datetime | None = None,
    *,
    every: str | timedelta = "1h",
    rolling: str | None = None,
    zone: str | None = None,
    by: str | Sequence[str] | None = None,
    items: Mapping[str, object] | None = None,
    layers: bool = False,
    store: ServingStore | str | None = None,
) -> pa.Table:
    """The answer of both layers over `[start, end)`, as one consistent view of the store.

    One row per bucket of time and combination of dimensions of which anything is stored, ordered
    by them, nulls first. Columns: `window` and `window_end` (the bucket, cut to the range), the
    dimensions of `by`, for each measure `m` the columns `m`, `m_lower` and `m_upper` (null: no
    value, or no bound is known), then

    * `exact`: the row certainly counts all of its events that either layer has read, each once;
    * `fresh_until`: how far in event time the speed layer has come, null when it has not run;
    * `gap`: events of the row may have been skipped and not been counted by batch yet.

    `fastdata.answer.merge` defines the three. The bounds hold at every moment. A column of
    integers past 64 bits is `decimal128(38)`, or `decimal256(76)`, instead of `int64`.

    Args:
        metric: What to answer.
        start: ISO text (without an offset: local time of the zone) or an aware `datetime`, in whole
            minutes. None: from the first hour that the store holds.
        end: Exclusive; the same. None: to the last one.
        every: Width of the buckets: "day", "week" (from Monday) or "month" of the zone; or "1m" or
            more in whole minutes, which begin at multiples of it since 1970 UTC; "all" for one.
        rolling: With every="day", days such as "30d": the bucket of each day is then that day and
            those before it. It is cut at `end`, and reaches back beyond `start`.
        zone: Name of a time zone, as in "Europe/Berlin". None: that of the metric, which is UTC
            if it was declared without one.
        by: Some of the metric's dimensions; None merges them all. Of several grouping sets, the
            smallest that has these answers.
        items: By the name of a `Frequency` or `Seen`, the item that it is asked about.
        layers: Adds a column `layer`: whether a row is made of totals of "batch", of partials of
            the "speed" layer, or of "both".
        store: An open store, the URL of one, or None for that of the settings.

    Raises:
        QueryError: An argument is wrong, or a value does not fit its Arrow type.
        SettingsError: The URL is of no store, or a setting is wrong.
        StoreUnavailableError: There is no store, or it cannot be read; retriable.
        CorruptStateError: A stored state does not verify.
    """
    dims = _dims(metric, by)
    metric = ask(metric, items or {})
    asked = Asked.parse(metric, start, end, every, rolling, zone)
    async with open_reader(store) as opened:
        reading, windows = await read_ready(metric, asked, dims, opened)
    asked, buckets = answer_range(metric, asked, reading)
    ready = windows.of_rows(metric, buckets) if windows and buckets else None
    rows = merge(metric, reading, buckets, dims, ready) if buckets else ()
    table = _table(answer_schema(metric, dims, layers), rows, fresh_until(reading))
    about = description(metric, reading, asked, dims)
    return table.replace_schema_metadata({KEY: json.dumps(about)})


def answer_range(metric: Metric, asked: Asked, reading: Reading) -> tuple[Asked, Buckets | None]:
    """What is asked for with both ends known, and the buckets to answer.

    Raises:
        QueryError: The windows leave the years 1 to 9999.
    """
    held = held_range(metric, reading)
    asked = asked.within(held)
    return asked, asked.buckets(held)


def answer_schema(metric: Metric, by: Sequence[str], layers: bool = False) -> pa.Schema:
    """The columns of an answer, as `query` says.

    Raises:
        QueryError: The column `layer` is asked for, and the metric has one of that name.
    """
    fields = [pa.field("window", INSTANT), pa.field("window_end", INSTANT)]
    types = [metric.dimension_type(name) for name in by]
    fields += [
        pa.field(name, arrow_type(type.kind, unit=type.unit))
        for name, type in zip(by, types, strict=True)
    ]
    for name, column in metric.columns.items():
        type = column.arrow_type()
        fields += [pa.field(name + suffix, type) for suffix in ("", "_lower", "_upper")]
    fields.append(pa.field("exact", pa.bool_()))
    fields.append(pa.field("fresh_until", INSTANT))
    fields.append(pa.field("gap", pa.bool_()))
    if layers:
        if any(field.name == "layer" for field in fields):
            raise QueryError(
                f"metric {metric.name!r} has a column 'layer' of its own, so its answers cannot"
                " say which layer a row is of: give that dimension or measure another name"
            )
        fields.append(pa.field("layer", pa.string()))
    return pa.schema(fields)


def describe(table: pa.Table) -> Description:
    """What a table of `query` answers; it is kept in the schema's metadata, also in Parquet.

    Raises:
        QueryError: The table is not one of `query`.
    """
    metadata = table.schema.metadata or {}
    if KEY not in metadata:
        raise QueryError("this table was not made by a query")
    return cast("Description", json.loads(metadata[KEY]))


def _dims(metric: Metric, by: str | Sequence[str] | None) -> tuple[str, ...]:
    names = () if by is None else (by,) if isinstance(by, str) else tuple(dict.fromkeys(by))
    for name in names:
        if name not in metric.by:
            have = ", ".join(metric.by) or "none"
            raise QueryError(
                f"metric {metric.name!r} has no dimension {name!r}; its dimensions are: {have}"
            )
    metric.set_for(names)
    return names


@asynccontextmanager
async def open_reader(store: ServingStore | str | None) -> AsyncIterator[ServingStore]:
    """An open store as it is, or the one of a URL; None is that of the settings.

    Raises:
        SettingsError: The URL is of no store, or a setting is wrong.
        StoreUnavailableError: There is no store, or it cannot be reached; retriable.
    """
    if store is not None and not isinstance(store, str):
        yield store
        return
    from fastdata.store.opening import open_store

    url = Settings.load().store if store is None else store
    async with open_store(url, create=False) as opened:
        yield opened


def _table(schema: pa.Schema, rows: Iterable[Row], fresh: int | None) -> pa.Table:
    columns: list[list[object]] = [[] for _ in schema]
    for row in rows:
        values: list[object] = [row.start, row.end, *row.dims]
        for estimate in row.estimates:
            values += (estimate.value, estimate.lower, estimate.upper)
        values += (row.is_exact, fresh, row.has_gap, row.layer)
        # The layer is the last, and not always asked for.
        for column, value in zip(columns, values[: len(columns)], strict=True):
            column.append(value)
    fields = [_widened(field, column) for field, column in zip(schema, columns, strict=True)]
    arrays = [_array(field, column) for field, column in zip(fields, columns, strict=True)]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def description(metric: Metric, reading: Reading, asked: Asked, dims: Sequence[str]) -> Description:
    """What an answer is about, for its metadata.

    Raises:
        CorruptStateError: A stored state does not verify.
    """
    fresh = fresh_until(reading)
    hours = unfolded_events(metric, reading.unfolded)
    return {
        "metric": metric.name,
        "definition": metric.id,
        "start": None if asked.start is None else _iso(asked.start),
        "end": None if asked.end is None else _iso(asked.end),
        "every": asked.grain,
        "rolling": asked.rolling,
        "zone": asked.calendar.zone,
        "by": list(dims),
        "fresh_until": None if fresh is None else _iso(fresh),
        "unfolded": sum(hours.values()),
    }


def _iso(time_ms: int) -> str:
    return to_datetime(time_ms).isoformat().replace("+00:00", "Z")


def _widened(field: pa.Field, values: Sequence[object]) -> pa.Field:
    """The field itself, or one for integers past 64 bits: sums are exact at any size."""
    if field.type != pa.int64():
        return field
    largest = max((abs(value) for value in values if isinstance(value, int)), default=0)
    if largest < 1 << 63:
        return field
    return field.with_type(pa.decimal128(38) if largest < 10**38 else pa.decimal256(76))


def _array(field: pa.Field, values: list[object]) -> pa.Array:
    try:
        return pa.array(values, field.type)
    except (pa.ArrowException, OverflowError, ValueError, TypeError) as error:
        raise QueryError(
            f"a value of {field.name!r} does not fit its column's type {field.type}: {error}"
        ) from error
