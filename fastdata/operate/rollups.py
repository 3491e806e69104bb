"""How much the rollups of a metric add to a store and to an archive.

As a replay writes them: whole states of hours and days beside the archive, and windows in the
store. Measured, but for the rows of SQL and of Cassandra, as in `sizing`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from fastdata.coordinates.calendar import Grain
from fastdata.declare.metric import Metric
from fastdata.operate.states import (
    dims_bytes,
    estimate_bytes,
    occupied,
    state_bytes,
    whole_bytes,
)
from fastdata.store.rollups import (
    OVERALL,
    ROW_BYTES,
    has_overall,
    is_large,
    kept_of,
    rollup_id,
)

__all__ = ["RollupNeed", "rollup_need"]

_HOURS = 24
_UNIT_DAYS = {"day": 1.0, "week": 7.0, "month": 365.2425 / 12}


@dataclass(frozen=True, slots=True)
class RollupNeed:
    """What the rollups of one metric add.

    Attributes:
        rows: In the store, with those of the versions before.
        sql_bytes: Of SQLite or PostgreSQL.
        cassandra_bytes: Of all replicas, before compression.
        archive_bytes: Beside the archive, before compression.
    """

    rows: int
    sql_bytes: int
    cassandra_bytes: int
    archive_bytes: int


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of a set of dimensions.

    Attributes:
        keys: Different dimension values.
        per_day: Events.
        dims: Bytes of the dimensions of a row.
        is_overall: Whether it is of all dimensions merged, of which no hour is kept.
    """

    keys: float
    per_day: float
    dims: int
    is_overall: bool = False

    def of(self, days: float) -> tuple[float, float]:
        """Of a window of so many days: how many rows it has, and how many events each of them."""
        events = self.per_day * days
        rows = occupied(self.keys, events)
        return rows, events / rows


def rollup_need(
    metric: Metric,
    keys: int,
    per_day: float,
    days: int,
    recount_days: int,
    *,
    sql_row_bytes: int,
    cassandra_row_bytes: int,
    replicas: int,
) -> RollupNeed:
    """What the rollups of a metric add.

    Args:
        keys: Different dimension values of each grouping set in a day.
        per_day: Events.
        days: How long answers and archive are kept.
        recount_days: How many days back a replay counts again: of the windows that hold these days,
            the version before is kept, too.
        sql_row_bytes: Of a row besides its state, and twice its id and dimensions.
        cassandra_row_bytes: Of a row besides its state and dimensions.
        replicas: Copies in Cassandra.
    """
    sets = [
        _Rows(keys if names else 1, per_day, dims_bytes(metric, number))
        for number, names in enumerate(metric.sets)
    ]
    if has_overall(metric.by, metric.selection.sets):
        sets.append(_Rows(1, per_day, len(OVERALL), is_overall=True))
    rows = sql = cassandra = kept_bytes = 0.0
    for of_set in sets:
        kept_bytes += days * _kept_bytes(metric, of_set)
        for grain, number, size in _stored(metric, of_set):
            again = min(days, recount_days + grain.rolling)
            stored = number * (days + again)
            name = len(rollup_id(metric.id, grain, metric.calendar.zone))
            rows += stored
            sql += stored * (sql_row_bytes + 2 * (name + of_set.dims) + size)
            cassandra += stored * (cassandra_row_bytes + of_set.dims + size) * replicas
    return RollupNeed(round(rows), round(sql), round(cassandra), round(kept_bytes))


def _kept_bytes(metric: Metric, of_set: _Rows) -> float:
    """Of the whole states of a day and its hours."""
    number, events = of_set.of(1)
    size = number * whole_bytes(metric, events)
    if not of_set.is_overall:
        number, events = of_set.of(1 / _HOURS)
        size += _HOURS * number * whole_bytes(metric, events)
    return size


def _stored(metric: Metric, of_set: _Rows) -> Iterator[tuple[Grain, float, int]]:
    """For each grain, how many rows a day adds to the store, and the bytes of what is in one."""
    for grain in dict.fromkeys(kept.grain for kept in kept_of(metric.rollups)):
        length = grain.rolling * _UNIT_DAYS[grain.unit]
        number, events = of_set.of(length)
        if grain.rolling == 1:
            yield grain, number / length, state_bytes(metric, events, exact=True)
            continue
        daily, of_day = of_set.of(1)
        # The rows of days for each row of the window, and what they are to be merged.
        cost = daily * grain.rolling / number * (whole_bytes(metric, of_day) + ROW_BYTES)
        if is_large(round(cost), grain.rolling):
            yield grain, number, estimate_bytes(metric, events)
