"""Keeping a flat table up to date: what changed is asked for again, and replaced."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Self
from zoneinfo import ZoneInfo

import pyarrow as pa
from pyarrow import compute as pc

from fastdata import failpoints
from fastdata.answer.merge import fresh_until, read_until
from fastdata.answer.query import query
from fastdata.coordinates.calendar import Grain
from fastdata.coordinates.instants import ceil_to, floor_to, parse_instant, to_datetime, to_iso
from fastdata.declare.metric import Metric
from fastdata.declare.unfolded import unfolded_of
from fastdata.errors import ExportError
from fastdata.exports.marks import marks_of
from fastdata.exports.opening import check_name, is_topic, open_target
from fastdata.exports.parts import EARLIEST, LATEST, Parts
from fastdata.exports.table import FlatTable, flat_table
from fastdata.settings import Settings
from fastdata.store.earlier import EarlierDefinition, find_earlier
from fastdata.store.opening import open_store
from fastdata.store.protocol import ServingStore, Survey
from fastdata.store.rollups import rollup_id

__all__ = ["ExportReport", "Exporter", "export"]

_ROWS_AT_ONCE = 50_000
_PARTS_AT_ONCE = 1_000

ExportProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What one refresh did.

    Attributes:
        table: Name of the table.
        metric: Id of the metric's definition.
        parts: How many parts the store has something of.
        refreshed: How many of them had changed.
        rows: How many rows were written for it.
        swapped: Whether the table took the place of one of another definition.
        fresh_until: How far in event time the speed layer had come, ms UTC.
        read_until: Up to when the log had been read, by its own time, ms UTC.
        seconds: How long it took.
        earlier: What an earlier definition of the metric has, where this one was never replayed.
    """

    table: str
    metric: str
    parts: int
    refreshed: int
    rows: int
    swapped: bool
    fresh_until: int | None
    read_until: int | None
    seconds: float
    earlier: EarlierDefinition | None = None

    def as_dict(self) -> dict[str, object]:
        """For JSON; instants as ISO text."""
        instants = {
            name: None if at is None else to_iso(at)
            for name in ("fresh_until", "read_until")
            for at in [getattr(self, name)]
        }
        earlier = self.earlier and self.earlier.as_dict()
        changed = {"seconds": round(self.seconds, 3), "earlier": earlier}
        return asdict(self) | instants | changed


async def export(
    metric: Metric,
    to: str | None = None,
    *,
    every: str | timedelta = "1h",
    rolling: str | None = None,
    by: str | Sequence[str] | None = None,
    start: str | datetime | None = None,
    end: str | datetime | None = None,
    bounds: bool = False,
    table: str | None = None,
    only_exact: bool = False,
    store: ServingStore | str | None = None,
) -> ExportReport:
    """Bring the flat table of a metric up to date, once; make it if there is none.

    Only what has changed in the store since the last time is asked for and written. Repeat it as
    often as you like; when it was interrupted, the next call goes on. For one table there may be
    one exporter at a time. Loops are better off with an `Exporter`, which keeps its connections.

    Args:
        metric: Whose answers the rows are.
        to: `postgresql://…`, `sqlite:///…`, `mysql://…`, `clickhouse://…`,
            `opensearch://…` or `duckdb:///…`; a folder or
            `s3://bucket/prefix` for Parquet; `kafka://topic` for events; None for the store itself,
            if that is one of the first two.
        every: Width of a window: minutes that divide an hour, hours that divide a day, or days; or
            "day", "week" or "month" in the zone of the metric.
        rolling: With every="day", days such as "30d": the window of each day is that day and those
            before it.
        by: Some of the metric's dimensions, () for none; None for all of them.
        start: ISO text (without an offset: local time of the metric's zone) or an aware `datetime`:
            only from there on. It is moved to the start of its part (an hour, or a window; in
            Parquet a day).
        end: Exclusive, and moved to the end of its part.
        bounds: Adds columns with the bounds of each measure; a topic always has them.
        table: Name of the table; None for one of metric, grain and dimensions, and for a topic.
        only_exact: Of a topic: a row is sent when it is exact, and while it is not, what was sent
            before stays.
        store: An open store, the URL of one, or None for that of the settings.

    Raises:
        ExportError: An argument is wrong, or something else is in the place of the table.
        SettingsError: A URL is not understood, or a setting is wrong.
        StoreError: The store or the database failed; `retriable` says whether to try again.
        ArchiveError: The same, of the folder or bucket.
        BrokerError: The same, of the broker of a topic.
        RegistryError: The same, of its registry.
        CorruptStateError: A stored state does not verify.
        QueryError: A value does not fit its column.
    """
    check_name(to, table)
    flat = flat_table(metric, every, by, bounds or is_topic(to), table, rolling)
    exporter = Exporter(flat, to, start=start, end=end, only_exact=only_exact, store=store)
    async with exporter:
        return await exporter.refresh()


class Exporter:
    """Keeps one flat table up to date; to be entered with `async with`.

    What is not said here of an argument is said of that of `export`.

    Args:
        flat: The table.
        clock: Seconds since 1970; what `updated_at` says.

    Raises:
        ExportError: The range is none.
    """

    def __init__(
        self,
        flat: FlatTable,
        to: str | None = None,
        *,
        start: str | datetime | None = None,
        end: str | datetime | None = None,
        only_exact: bool = False,
        store: ServingStore | str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._flat = flat
        self._to = to
        self._given = store
        self._only_exact = only_exact
        self._clock = clock
        zone = ZoneInfo(flat.zone)
        self._start, self._end = _instant("from", start, zone), _instant("to", end, zone)
        if self._start is not None and self._end is not None and self._end <= self._start:
            raise ExportError(f"the range is empty: its end {end} is not after its start {start}")

    async def __aenter__(self) -> Self:
        """Open the store and the place of the table.

        Raises:
            ExportError: No place is named, and the store cannot hold the table.
            SettingsError: A URL is not understood.
            StoreUnavailableError: There is no store, or no such place.
        """
        store = self._given
        url = store if isinstance(store, str) else "" if store else Settings.load().store
        async with AsyncExitStack() as stack:
            if store is None or isinstance(store, str):
                store = await stack.enter_async_context(open_store(url, create=False))
            self._store = store
            place = url if self._to is None else self._to
            target = open_target(self._flat, place, only_exact=self._only_exact)
            self._target = await stack.enter_async_context(target)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def refresh(
        self, on_progress: ExportProgress | None = None, stop: asyncio.Event | None = None
    ) -> ExportReport:
        """Replace the parts that have changed; see `export`.

        Args:
            on_progress: Told how many parts are done, of how many.
            stop: When it is set, the refresh ends after the part at hand.

        Raises:
            ExportError: Something else is in the place of the table, or a value does not fit.
            StoreError: The store or the database failed; `retriable` says whether to try again.
            ArchiveError: The same, of the folder or bucket.
            BrokerError: The same, of the broker of a topic.
            RegistryError: The same, of its registry.
            CorruptStateError: A stored state does not verify.
            QueryError: A value does not fit its column.
        """
        began = time.perf_counter()
        start, end = self._range()
        written = await self._target.open()
        survey = await self._survey(start, end)
        fresh, read = fresh_until(survey), read_until(survey)
        marks = await self._marks(survey, fresh, start, end)
        held = {part: mark for part, mark in written.items() if start <= part < end}
        changed = sorted(p for p in marks.keys() | held.keys() if marks.get(p) != held.get(p))
        done = rows = 0
        portions = _Portions(changed, self._target.parts)
        for portion in portions:
            if stop is not None and stop.is_set():
                break
            answered = await self._replace({p: marks.get(p) for p in portion}, fresh, read)
            portions.learn(len(portion), answered[0])
            done, rows = done + len(portion), rows + answered[1]
            failpoints.reach("export.after_part")
            if on_progress is not None:
                on_progress(done, len(changed))
        swapped = done == len(changed) and await self._target.finish()
        return ExportReport(
            table=self._flat.name,
            metric=self._flat.metric.id,
            parts=len(marks),
            refreshed=done,
            rows=rows,
            swapped=swapped,
            fresh_until=fresh,
            read_until=read,
            seconds=time.perf_counter() - began,
            earlier=None if survey.heads else await self._earlier(),
        )

    async def _earlier(self) -> EarlierDefinition | None:
        metric = self._flat.metric
        if await self._store.last_run(metric.id):
            return None
        return await find_earlier(self._store, metric.name, metric.id)

    async def _replace(
        self, before: Mapping[int, str | None], fresh: int | None, read: int | None
    ) -> tuple[int, int]:
        """Ask for the answer of adjacent parts and write it: rows in all, and rows written."""
        start, end = min(before), self._target.parts.of(max(before)).end
        every, rolling = self._flat.windows
        answer = await query(
            self._flat.metric,
            to_datetime(start),
            to_datetime(end),
            every=every,
            rolling=rolling,
            by=self._flat.by,
            layers=True,
            store=self._store,
        )
        if rolling is not None:
            answer = self._of_parts(answer, before)
        # What moved meanwhile may have moved back: no mark says which of the two was read.
        after = await self._marks(await self._survey(start, end), fresh, start, end)
        marks = {p: mark if after.get(p) == mark else "" for p, mark in before.items()}
        rows = self._flat.rows(answer, fresh, read, int(self._clock() * 1000))
        return rows.num_rows, await self._target.replace(marks, rows)

    def _of_parts(self, answer: pa.Table, marks: Mapping[int, str | None]) -> pa.Table:
        """Without rows of days that have not come yet."""
        part_of = self._target.parts.of
        begins = [part_of(part).begins for part, mark in marks.items() if mark is not None]
        windows = answer.column("window_start")
        return answer.filter(pc.is_in(windows, value_set=pa.array(begins, windows.type)))

    async def _survey(self, start: int, end: int) -> Survey:
        """Over all that the rows of whole parts are of."""
        metric = self._flat.metric
        begins = start if start == EARLIEST else self._target.parts.of(start).begins
        hours = floor_to(begins, metric.span_ms), ceil_to(end, metric.span_ms)
        unfolded = unfolded_of(metric.source).id
        return await self._store.survey(metric.id, unfolded, metric.source.topic, *hours)

    async def _marks(
        self, survey: Survey, fresh: int | None, start: int, end: int
    ) -> dict[int, str]:
        metric, every, ready = self._flat.metric, self._flat.every, {}
        if isinstance(every, Grain) and every in metric.rollups:
            id = rollup_id(metric.id, every, metric.calendar.zone)
            ready = await self._store.heads(id, start, end)
        parts, size = self._target.parts, metric.source.segment_size
        return marks_of(survey, ready, fresh, parts, start, end, size)

    def _range(self) -> tuple[int, int]:
        parts = self._target.parts
        start = EARLIEST if self._start is None else parts.of(self._start).start
        end = LATEST if self._end is None else parts.of(self._end - 1).end
        return start, end


class _Portions:
    """Runs of adjacent parts, of as many parts as gave some 50,000 rows the time before."""

    def __init__(self, starts: Sequence[int], parts: Parts) -> None:
        self._starts = starts
        self._parts = parts
        self._size = 1

    def learn(self, parts: int, rows: int) -> None:
        """Take note of how many rows some parts had."""
        fitting = _ROWS_AT_ONCE * parts // max(rows, 1)
        self._size = max(1, min(fitting, 4 * self._size, _PARTS_AT_ONCE))

    def __iter__(self) -> Iterator[Sequence[int]]:
        first, starts = 0, self._starts
        while first < len(starts):
            last = first + 1
            while last < min(first + self._size, len(starts)) and (
                starts[last] == self._parts.of(starts[last - 1]).end
            ):
                last += 1
            yield starts[first:last]
            first = last


def _instant(name: str, value: str | datetime | None, zone: ZoneInfo) -> int | None:
    try:
        return None if value is None else parse_instant(value, zone)
    except ValueError as error:
        raise ExportError(f"{name}: {error}") from error
