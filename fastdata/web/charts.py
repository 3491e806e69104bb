"""What the page of a metric shows: lines over time, each point as sure as it is, and a table."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pyarrow as pa

from fastdata.answer.arrow import Description, describe
from fastdata.answer.cells import bounded, folded, shown
from fastdata.answer.merge import Row
from fastdata.answer.query import Question, question_of
from fastdata.coordinates.instants import HOUR_MS, MINUTE_MS, parse_instant
from fastdata.declare.metric import Metric
from fastdata.errors import QueryError
from fastdata.store.protocol import ServingStore

__all__ = [
    "MOST_LINES",
    "MOST_ROWS",
    "ChartLine",
    "MetricView",
    "Watched",
    "Wish",
    "charted",
    "equals",
    "grain_for",
    "others",
    "see",
]

_Row = Mapping[str, Any]
Watched = Callable[[Iterable[Row]], Iterable[Row]]
MOST_LINES = 10
MOST_ROWS = 500
_MOST_POINTS = 2_000
_FEW_POINTS = 170
_WIDTHS = {"1m": MINUTE_MS, "5m": 5 * MINUTE_MS, "15m": 15 * MINUTE_MS, "1h": HOUR_MS}
_WIDTHS |= {"day": 24 * HOUR_MS, "week": 7 * 24 * HOUR_MS, "month": 30 * 24 * HOUR_MS}
_LONGEST = 100  # text of a cell; its whole is in the CSV
_REST = "all others"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the page is asked for.

    Attributes:
        start: ms UTC.
        end: Exclusive.
        every: As of `query`.
        held: From the first hour of which anything is stored to the end of the last, ms UTC.
        by: The dimension of which each value has a line; None for one line.
    """

    start: int
    end: int
    every: str
    held: tuple[int, int]
    by: str | None = None
    where: str | None = None
    zone: str | None = None


class ChartLine(NamedTuple):
    """One line.

    Attributes:
        where: The condition that narrows an answer to it; None where there is none.
        rows: By start, ms UTC.
        is_rest: Whether it is of all that has no line of its own.
    """

    name: str
    where: str | None
    rows: Mapping[int, _Row]
    is_rest: bool = False


class MetricView(NamedTuple):
    """What the page shows.

    Attributes:
        data: Of the charts, for JSON; `assets/chart.js` reads it.
        lines: In order; the last may be that of the rest.
        rows: Of the table, the newest first: their start (ms UTC), label, cells and state.
        total: How many rows there are, also those that are not shown.
        ends: Of each bucket of which something is known its end, ms UTC, and whether all lines are
            exact there; the oldest first.
        about: What was answered.
    """

    data: dict[str, object]
    lines: Sequence[ChartLine]
    rows: Sequence[tuple[int, str, Sequence[str], str]]
    total: int
    ends: Sequence[tuple[int, bool]]
    about: Description


def grain_for(start: int, end: int) -> str:
    """The finest width of buckets that makes few points of `[start, end)`, ms UTC."""
    fit = (every for every, width in _WIDTHS.items() if end - start <= _FEW_POINTS * width)
    return next(fit, "month")


def charted(metric: Metric) -> list[str]:
    """The measures that are numbers, in order."""
    are = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    types = {name: column.arrow_type() for name, column in metric.columns.items()}
    return [name for name, type in types.items() if any(is_of(type) for is_of in are)]


async def see(
    metric: Metric, wish: Wish, store: ServingStore, watched: Watched = iter
) -> MetricView:
    """Ask for the lines that are wished for, and lay them out.

    Args:
        watched: As of `Question.answer`.

    Raises:
        QueryError: The wish is wrong, or has too many points for a chart.
        StoreUnavailableError: The store cannot be read; retriable.
        CorruptStateError: A stored state does not verify.
    """
    if wish.end - wish.start > 2 * _MOST_POINTS * _WIDTHS.get(wish.every, wish.end):
        raise _too_many(wish)  # before they are listed
    whole = _asked(metric, wish)
    starts = list(_starts(whole, wish))
    if wish.by is None:
        table = await whole.answer(store, watched)
        lines = [ChartLine(metric.name, None, _by_start(table.to_pylist()))]
    else:
        table, lines = await _lines(metric, wish, wish.by, store, watched)
    about = describe(table)
    layout = _Layout(metric, about, wish, starts)
    places = [(start, line) for start in reversed(starts) for line in lines if start in line.rows]
    rows = [
        (
            start,
            layout.label(start),
            layout.cells(line, start, wish.by),
            layout.state(line, start)[1],
        )
        for start, line in places[:MOST_ROWS]
    ]
    letters = {start: {layout.state(line, start)[0] for line in lines} for start in starts}
    ends = [
        (layout.end_of[start], letters[start] == {"e"})
        for start in starts
        if letters[start] > {" "} or letters[start] - {" "}
    ]
    return MetricView(layout.data(lines), lines, rows, len(places), ends, about)


def _asked(metric: Metric, wish: Wish, where: str | None = None, **more: object) -> Question:
    asked = {"every": wish.every, "zone": wish.zone, **more}
    both = " AND ".join(f"({text})" for text in (wish.where, where) if text)
    start, end = (datetime.fromtimestamp(ms / 1000, UTC) for ms in (wish.start, wish.end))
    return question_of(metric, start, end, where=both or None, **asked)  # type: ignore[arg-type]


def _starts(whole: Question, wish: Wish) -> Iterator[int]:
    buckets = whole.request.buckets((wish.start, wish.end))
    for count, (start, _) in enumerate(buckets.rows() if buckets else ()):
        if count == _MOST_POINTS:
            raise _too_many(wish)
        yield start


def _too_many(wish: Wish) -> QueryError:
    return QueryError(
        f"there are more than {_MOST_POINTS:,} points of {wish.every} in that range: choose a "
        "shorter range, or a coarser width"
    )


# --- lines --------------------------------------------------------------------------------------
async def _lines(
    metric: Metric, wish: Wish, by: str, store: ServingStore, watched: Watched
) -> tuple[pa.Table, list[ChartLine]]:
    """The largest values of a dimension by the first measure, and all others together."""
    first = next(iter(charted(metric)), None)
    order = None if first is None else f"{first} desc"
    ranked = _asked(metric, wish, every="all", by=by, order=order, limit=MOST_LINES + 1)
    values = (await ranked.answer(store, watched)).column(by).to_pylist()
    # No condition can name a text with this character; it is one of the rest.
    shown_ones = [value for value in values if "\0" not in str(value)][:MOST_LINES]
    has_rest = len(values) > len(shown_ones)
    only = " OR ".join(equals(by, value) for value in shown_ones) if has_rest else None
    table = await _asked(metric, wish, only, by=by).answer(store, watched)
    by_value: dict[object, dict[int, _Row]] = {value: {} for value in shown_ones}
    for row in table.to_pylist():
        # One may have come since they were ranked.
        by_value.setdefault(row[by], {})[_ms(row["window_start"])] = row
    lines = [
        ChartLine(shown(value) or "(empty)", equals(by, value), rows)
        for value, rows in by_value.items()
    ]
    if has_rest:
        rest = await _asked(metric, wish, others(by, shown_ones)).answer(store, watched)
        lines.append(ChartLine(_REST, None, _by_start(rest.to_pylist()), is_rest=True))
    return table, lines


def equals(name: str, value: object) -> str:
    """The condition that a dimension has a value, which may be null."""
    return f"{_quoted(name)} IS NULL" if value is None else f"{_quoted(name)} = {_literal(value)}"


def others(name: str, values: Sequence[object]) -> str:
    """The condition of what is none of these values; null is one as any other."""
    listed = ", ".join(_literal(value) for value in values if value is not None)
    is_other = f"{_quoted(name)} NOT IN ({listed})" if listed else "TRUE"
    if None in values:
        return f"{_quoted(name)} IS NOT NULL AND {is_other}"
    return f"{_quoted(name)} IS NULL OR {is_other}"


def _quoted(name: str) -> str:
    return f'"{name}"'


def _literal(value: object) -> str:
    match value:
        case bool():
            return str(value).upper()
        case int():
            return str(value)
        case datetime():
            return f"TIMESTAMP '{value:%Y-%m-%d %H:%M:%S.%f}'"
        case date():
            return f"DATE '{value.isoformat()}'"
    return "'" + str(value).replace("'", "''") + "'"


def _by_start(rows: Iterable[_Row]) -> dict[int, _Row]:
    return {_ms(row["window_start"]): row for row in rows}


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


# --- points -------------------------------------------------------------------------------------
class _Layout:
    """Says of each point and row what it is: exact, fresh, in progress, or nothing."""

    def __init__(self, metric: Metric, about: Description, wish: Wish, starts: list[int]) -> None:
        self._metric = metric
        self._about = about
        self._wish = wish
        self._starts = starts
        self._ends = [*starts[1:], wish.end]
        self.end_of = dict(zip(starts, self._ends, strict=True))
        self._zone = ZoneInfo(about["zone"])
        fresh = about["fresh_until"]
        self._fresh_until = None if fresh is None else parse_instant(fresh)
        self._replayed = [_range(item) for item in about["replayed"]]
        self._gaps = [_range(item) for item in about["gaps"]]
        empty = metric.answers(metric.estimate(metric.zero()), HOUR_MS)
        self._nothing = {name: e.value for name, e in zip(metric.columns, empty, strict=True)}

    def data(self, lines: Sequence[ChartLine]) -> dict[str, object]:
        until = self._wish.end if self._fresh_until is None else self._fresh_until
        return {
            "zone": self._about["zone"],
            "from": self._wish.start,
            "to": self._wish.end,
            "times": self._starts,
            "labels": [self.label(start) for start in self._starts],
            "uncovered": _between(self._replayed, self._wish.start, min(until, self._wish.end)),
            "gaps": self._gaps,
            "charts": [
                {
                    "measure": name,
                    "from_zero": self._nothing[name] == 0,
                    "lines": [self._line(name, i, x) for i, x in enumerate(lines)],
                }
                for name in charted(self._metric)
            ],
        }

    def _line(self, measure: str, index: int, line: ChartLine) -> dict[str, object]:
        points = [self._point(measure, line, start) for start in self._starts]
        value, lower, upper, state, text = zip(*points, strict=True) if points else [()] * 5
        return {
            "name": line.name,
            "line": "rest" if line.is_rest else str(index % MOST_LINES),
            "value": value,
            "lower": lower,
            "upper": upper,
            "state": "".join(state),
            "text": text,
        }

    def _point(self, measure: str, line: ChartLine, start: int) -> tuple[object, ...]:
        """Value, bounds, the letter of its state, and what the tooltip says."""
        letter, words = self.state(line, start)
        if (row := line.rows.get(start)) is None:
            nothing = _number(self._nothing[measure])
            if letter == " " or nothing is None:
                return None, None, None, " ", None
            # What is not exact may miss some, and nothing is stored that says how many.
            bound = nothing if letter == "e" else None
            return nothing, bound, bound, letter, f"{shown(self._nothing[measure])} · {words}"
        value, lower, upper = (_number(row[measure + end]) for end in ("", "_lower", "_upper"))
        return value, lower, upper, letter, f"{bounded(row, measure)} · {words}"

    def state(self, line: ChartLine, start: int) -> tuple[str, str]:
        """How sure a point is, as a letter and in words; a space where nothing can be known."""
        row, end, fresh = line.rows.get(start), self.end_of[start], self._fresh_until
        is_counted = _holds(self._replayed, start, end)
        is_later = fresh is None or start >= fresh
        if row is None and (is_later or (start < self._wish.held[0] and not is_counted)):
            return " ", ""
        if fresh is not None and fresh < end:
            seen, whole = max(fresh - start, 0) // MINUTE_MS, (end - start) // MINUTE_MS
            return "p", f"in progress, {seen:,} of {whole:,} minutes"
        has_gap = row["gap"] if row else _touches(self._gaps, start, end)
        if has_gap:
            return "f", "fresh, with a gap"
        # Of what has no row nothing was read, but for what is counted without its dimensions.
        is_exact = row["exact"] if row else is_counted and not self._about["unfolded"]
        return ("e", "exact") if is_exact else ("f", "fresh")

    def cells(self, line: ChartLine, start: int, by: str | None) -> list[str]:
        row = line.rows[start]
        names = [] if by is None else [folded(line.name, _LONGEST, most=1)[0]]
        return [*names, *(bounded(row, measure, _LONGEST) for measure in self._metric.columns)]

    def label(self, start: int) -> str:
        """The window, in the zone of the answer."""
        first, last = (
            datetime.fromtimestamp(ms / 1000, UTC).astimezone(self._zone)
            for ms in (start, self.end_of[start])
        )
        if first.time() == last.time() == first.min.time():
            return f"{first:%Y-%m-%d}" if (last - first).days <= 1 else f"{first:%Y-%m-%d} on"
        return f"{first:%Y-%m-%d %H:%M} to {last:%H:%M}"


def _range(item: Mapping[str, str]) -> tuple[int, int]:
    return parse_instant(item["start"]), parse_instant(item["end"])


def _between(ranges: Sequence[tuple[int, int]], start: int, end: int) -> list[tuple[int, int]]:
    """What of `[start, end)` is in none of the ranges, which are in order."""
    ends = [start, *[min(moment, end) for pair in ranges for moment in pair], end]
    return [
        (first, last) for first, last in zip(ends[::2], ends[1::2], strict=True) if first < last
    ]


def _touches(ranges: Sequence[tuple[int, int]], start: int, end: int) -> bool:
    return any(first < end and start < last for first, last in ranges)


def _holds(ranges: Sequence[tuple[int, int]], start: int, end: int) -> bool:
    return any(first <= start and end <= last for first, last in ranges)


def _number(value: object) -> float | int | None:
    """For JSON and a canvas; None for what is no number."""
    if isinstance(value, Decimal):
        value = float(value)
    is_finite = isinstance(value, int | float) and math.isfinite(value)
    return value if is_finite else None  # type: ignore[return-value]
