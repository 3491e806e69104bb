"""A flat table: its name, its columns, and how an answer becomes rows of it."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import pyarrow as pa
from pyarrow import compute as pc

from fastdata.answer.arrow import answer_schema
from fastdata.answer.request import UNITS, parse_grain
from fastdata.coordinates.calendar import Grain
from fastdata.coordinates.instants import DAY_MS, HOUR_MS, MINUTE_MS, parse_duration
from fastdata.declare.metric import Metric
from fastdata.errors import ExportError, QueryError, did_you_mean
from fastdata.exports.parts import Parts, parts_of

__all__ = ["MAX_NAME", "FlatTable", "flat_table"]

MAX_NAME = 50
"""PostgreSQL has 63 characters for a name; a table that is kept needs 13 for its definition."""

_LAYOUT = 3
_MAX_COLUMN = 63
_NAME = re.compile(rf"[A-Za-z_][A-Za-z0-9_]{{0,{MAX_NAME - 1}}}")
_OURS = ("layer", "read_until", "updated_at", "row_key", "window_day")
_UNITS = ((DAY_MS, "d"), (HOUR_MS, "h"), (MINUTE_MS, "m"))
_INSTANT = pa.timestamp("ms", tz="UTC")


@dataclass(frozen=True, slots=True)
class FlatTable:
    """One plain table of a metric at one grain.

    Attributes:
        every: Width of a window, ms, or its kind in the calendar of the metric.
        by: The dimensions that are columns; the others are merged.
        has_bounds: Whether each measure has its bounds beside it.
        name: Of the table.
    """

    metric: Metric
    every: int | Grain
    by: tuple[str, ...]
    has_bounds: bool
    name: str

    @property
    def definition(self) -> str:
        """12 hexadecimal digits of everything that the rows depend on."""
        return self._digest(_LAYOUT)

    @property
    def former_definitions(self) -> tuple[str, str]:
        """What `definition` was before there was `read_until`, the older one first."""
        return self._digest(1), self._digest(2)

    def _digest(self, layout: int) -> str:
        # The metric's id knows nothing of derived measures, nor of the order of columns.
        measures = [[name, repr(measure)] for name, measure in self.metric.measures.items()]
        every = self.every if isinstance(self.every, int) else [str(self.every), self.zone]
        parts = [layout, self.metric.id, measures, every, self.by, self.has_bounds]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]

    @property
    def zone(self) -> str:
        """The time zone of days, weeks and months."""
        return self.metric.calendar.zone

    def parts(self, least_ms: int) -> Parts:
        """What is replaced at once; of windows that have a width, as many as make `least_ms`."""
        return parts_of(self.every, self.metric.calendar, least_ms)

    @property
    def windows(self) -> tuple[str | timedelta, str | None]:
        """What `query` takes as `every` and as `rolling`."""
        if isinstance(self.every, Grain):
            return self.every.unit, str(self.every) if self.every.rolling > 1 else None
        return timedelta(milliseconds=self.every), None

    @property
    def schema(self) -> pa.Schema:
        """The columns, in order."""
        answer = answer_schema(self.metric, self.by)
        names = ["window_start", "window_end", *self.by]
        for column in self.metric.columns:
            names += [column, f"{column}_lower", f"{column}_upper"][: 3 if self.has_bounds else 1]
        fields = [answer.field(name) for name in names]
        fields += [pa.field("layer", pa.string()), pa.field("exact", pa.bool_())]
        fields += [pa.field(name, _INSTANT) for name in ("read_until", "updated_at")]
        return pa.schema(fields)

    def rows(self, answer: pa.Table, fresh: int | None, read: int | None, now_ms: int) -> pa.Table:
        """The rows that an answer with layers gives.

        Args:
            answer: Of `query`, by the dimensions of this table.
            fresh: How far the speed layer has come in all parts of the table, ms UTC; the answer
                knows it of its own range. No later window is exact.
            read: Up to when the log was read before the answer was made, ms UTC.
            now_ms: What `updated_at` says, ms UTC.

        Raises:
            ExportError: An integer is larger than its column can be in every part of the table.
        """
        columns = []
        same = {"read_until": read, "updated_at": now_ms}
        for field in self.schema:
            if field.name in same:
                instant = pa.scalar(same[field.name], field.type)
                columns.append(pa.repeat(instant, answer.num_rows))
                continue
            column = answer.column(field.name)
            if column.type != field.type:
                raise ExportError(
                    f"{self.metric.name}: {field.name!r} has a value of more than 64 bits between"
                    f" {answer.column('window_start')[0]} and {answer.column('window_end')[-1]},"
                    " which no column of integers can hold: declare the field as a decimal or a"
                    " double"
                )
            if field.name == "exact":
                until = pa.scalar(fresh, _INSTANT)
                is_complete = pc.less_equal(answer.column("window_end"), until)
                column = pc.and_(column, pc.fill_null(is_complete, fill_value=False))
            columns.append(column)
        return pa.Table.from_arrays(columns, schema=self.schema)


def flat_table(
    metric: Metric,
    every: str | timedelta,
    by: str | Sequence[str] | None = None,
    has_bounds: bool = False,
    name: str | None = None,
    rolling: str | None = None,
) -> FlatTable:
    """The flat table of a metric at a grain; what is not said here of an argument, `export` says.

    Args:
        has_bounds: Whether each measure has columns for its bounds.
        name: Of the table; None for one of metric, grain and dimensions.

    Raises:
        ExportError: An argument is wrong, or two columns would have one name.
    """
    grain = _grain(every, rolling)
    names = metric.by if by is None else (by,) if isinstance(by, str) else by
    dims = tuple(dict.fromkeys(names))
    if unknown := [dim for dim in dims if dim not in metric.by]:
        have = ", ".join(metric.by) or "none"
        advice = did_you_mean(unknown[0], metric.by, f"its dimensions are: {have}")
        raise ExportError(f"metric {metric.name!r} has no dimension {unknown[0]!r}; {advice}")
    try:
        metric.set_for(dims)
    except QueryError as error:
        raise ExportError(
            f"{error}; say with `by` by which dimensions the table is to be"
        ) from error
    chosen = None if dims == metric.by else dims
    name = _default_name(metric.name, grain, chosen) if name is None else name
    if not _NAME.fullmatch(name):
        raise ExportError(
            f"{name!r} is no name for a table: letters, digits and _, at most {MAX_NAME}, no digit"
            " first"
        )
    _check_columns(metric, dims)
    return FlatTable(metric, grain, dims, has_bounds, name)


def _grain(every: str | timedelta, rolling: str | None) -> int | Grain:
    if rolling is not None or every in UNITS:
        try:
            return parse_grain(every, rolling)
        except QueryError as error:
            raise ExportError(str(error)) from error
    try:
        width = parse_duration(every)
    except ValueError as error:
        raise ExportError(f"every: {error}; or 'day', 'week' or 'month'") from error
    fits = width and (
        width % DAY_MS == 0
        or (width % HOUR_MS == 0 and DAY_MS % width == 0)
        or (width % MINUTE_MS == 0 and HOUR_MS % width == 0)
    )
    if not fits:
        raise ExportError(
            f"every is {every}; it must be minutes that divide an hour (1m, 5m, 15m, …), hours that"
            " divide a day (1h, 6h, …) or whole days (1d, 7d, …), so that days hold whole windows"
        )
    return width


def _default_name(metric: str, every: int | Grain, by: tuple[str, ...] | None) -> str:
    if isinstance(every, Grain):
        grain = str(every) if every.rolling == 1 else f"rolling_{every}"
    else:
        size, unit = next((s, u) for s, u in _UNITS if every % s == 0)
        grain = f"{every // size}{unit}"
    name = f"{re.sub(r'[^A-Za-z0-9_]', '_', metric)}_{grain}"
    if by is not None:
        name += f"_by_{'_'.join(by)}" if by else "_total"
    if len(name) <= MAX_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: MAX_NAME - 9]}_{digest}"


def _check_columns(metric: Metric, dims: Sequence[str]) -> None:
    names = [*dims]
    for column in metric.columns:
        names += [column, f"{column}_lower", f"{column}_upper"]
    seen = dict.fromkeys(_OURS, "every exported table")
    for name in names:
        if len(name.encode()) > _MAX_COLUMN:
            raise ExportError(f"{name!r} is too long for a column: at most {_MAX_COLUMN} bytes")
        if other := seen.get(name.lower()):
            raise ExportError(
                f"metric {metric.name!r} cannot be exported with {name!r}: {other} has a column of"
                " that name; leave that dimension out, or declare it under another name"
            )
        seen[name.lower()] = "this metric"
