"""What both layers know of one key, for programs that ask about every event.

An answer is made of two parts, of different days: those before today, which hardly change, and
today. Each is a consistent view of the store, and no event is in both. They are kept for a while,
the days before for longer, for the keys that were asked about last.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Self, TypeVar

from fastdata.answer.chosen import ChosenDims
from fastdata.answer.merge import Doubt, Doubts, Layer, MergedRow, held_range, merge
from fastdata.answer.query import dims_of
from fastdata.answer.reading import read_spans
from fastdata.answer.ready import read_ready
from fastdata.answer.request import QueryRequest
from fastdata.answer.view import asked_for
from fastdata.coordinates.calendar import Grain
from fastdata.coordinates.dimensions import Dimension
from fastdata.coordinates.instants import HOUR_MS, now_ms, parse_duration
from fastdata.declare.filters import Filter
from fastdata.declare.metric import Metric, States
from fastdata.errors import QueryError
from fastdata.measures.estimates import Estimate, Value
from fastdata.settings import Settings
from fastdata.store.protocol import ServingStore

__all__ = ["KeyHistory", "Lookup"]

_DAY = Grain("day")
_V = TypeVar("_V")
_Key = tuple[tuple[str, type, Dimension], ...]


@dataclass(frozen=True, slots=True)
class KeyHistory:
    """What is known of a key. `history["payments"]` is the value of a measure.

    Attributes:
        estimates: By measure: its value between bounds.
        is_exact: As `exact` of a row of a query; today's events are mostly still under way.
        has_gap: Whether events may have been skipped that no replay has counted yet.
    """

    estimates: Mapping[str, Estimate]
    is_exact: bool
    has_gap: bool

    def __getitem__(self, measure: str) -> Value:
        return self.estimates[measure].value


@dataclass(frozen=True, slots=True)
class _DaysRead:
    """The states of some days; None where nothing of the key is stored."""

    states: States | None
    doubt: Doubt
    is_of_batch: bool
    day: int  # where today began
    read_s: float


class Lookup:
    """The history of a key of a metric, up to now.

        spending = fastdata.Lookup(payments_by_customer, last="60d")
        await spending.load("customer")  # where each event asks about one of a few thousand keys
        history = await spending(customer="c7")
        history["payments"], history.estimates["amount"].upper

    For one event loop. The first lookup opens the store; `close` closes it.

    Args:
        metric: Answers fast with rollups=["day"]: without them, the hours of all days are read.
        last: How far back, rounded down to the start of a day of the metric's time zone.
        measures: Those that are answered; None for all.
        fresh_s: For how many seconds a key's answer may be given again.
        past_s: For how many seconds the part before today may.
        keys: How many keys are kept at most; the one that was asked about longest ago goes first.
        today: Whether today counts; without it, an answer is that of midnight.
        store: An open store, the URL of one, or None for that of the settings.

    Raises:
        QueryError: An argument is wrong.
    """

    def __init__(
        self,
        metric: Metric,
        *,
        last: str = "60d",
        measures: list[str] | None = None,
        fresh_s: float = 1.0,
        past_s: float = 60.0,
        keys: int = 10_000,
        today: bool = True,
        store: ServingStore | str | None = None,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self.metric = metric
        view = asked_for(metric, measures, {})
        if not isinstance(view, Metric):
            raise QueryError(f"{metric.name!r} is made of several metrics: look each of them up")
        self._view = view
        try:
            self._last_ms = parse_duration(last)
        except ValueError as error:
            raise QueryError(f"last: {error}") from error
        self._fresh_s, self._past_s, self._most = fresh_s, past_s, keys
        self._has_today = today
        self._store = store
        self._clock = clock
        self._stack = AsyncExitStack()
        self._past: OrderedDict[_Key, _DaysRead] = OrderedDict()
        self._answers: OrderedDict[_Key, tuple[float, KeyHistory]] = OrderedDict()
        self._absent: dict[tuple[str, ...], _DaysRead] = {}  # by names: of keys that were not there

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the store, if it was opened here."""
        await self._stack.aclose()

    async def __call__(self, **key: Dimension) -> KeyHistory:
        """The history of what has these values of dimensions; of all others it is merged.

        A key of which nothing is stored has what the measures say of no events.

        Raises:
            QueryError: The metric has no such dimension.
            SettingsError: The URL is of no store, or a setting is wrong.
            StoreUnavailableError: There is no store, or it cannot be read; retriable.
            CorruptStateError: A stored state does not verify.
        """
        cached = tuple((name, type(value), value) for name, value in sorted(key.items()))
        since_s, history = self._answers.get(cached, (-self._fresh_s, None))
        now_s = time.monotonic()
        if history is None or now_s - since_s > self._fresh_s:
            history = await self._ask(cached, key)
            self._keep(self._answers, cached, (now_s, history))
        return history

    async def load(self, *names: str) -> int:
        """Read the days before today of all keys at once; later calls bring them up to date.

        Args:
            names: The dimensions of the keys that will be asked about.

        Returns:
            How many keys there are.

        Raises:
            QueryError: The metric has no such dimension, or there are more than `keys`.
            SettingsError, StoreUnavailableError, CorruptStateError: As for a key.
        """
        chosen = ChosenDims(self._view, dims := tuple(sorted(dims_of(self.metric, names))))
        first, today = self._days()
        parts, absent = await self._read(await self._opened(), chosen, first, today, today)
        if len(parts) > self._most:
            raise QueryError(
                f"{self.metric.name!r} has {len(parts):,} keys of {', '.join(dims)}, of which "
                f"{self._most:,} would be kept: give the lookup more `keys`"
            )
        self._absent[dims] = absent
        for values, part in parts.items():
            key = tuple((n, type(v), v) for n, v in zip(dims, values, strict=True))
            self._keep_past(key, part)
        return len(parts)

    async def _ask(self, cached: _Key, key: Mapping[str, Dimension]) -> KeyHistory:
        first, today = self._days()
        past = self._past.get(cached, self._absent.get(tuple(name for name, _, _ in cached)))
        if past is None or past.day != today or time.monotonic() - past.read_s > self._past_s:
            past = await self._read_key(key, first, today, today)
            self._keep_past(cached, past)
        parts, end = [past], today
        if self._has_today:
            end = self._clock() // HOUR_MS * HOUR_MS + HOUR_MS  # an event may be ahead of our clock
            parts.append(await self._read_key(key, today, end, today))
        total = self._view.zero(exact=True)  # the parts are kept, and must not change
        for part in parts:
            if part.states is not None:
                self._view.merge(total, part.states)
        # An event that was skipped may be of either part, so it may be counted here twice.
        doubt = Doubt(
            all(part.doubt.is_complete for part in parts),
            any(part.doubt.has_gap for part in parts),
            sum(part.doubt.missing_events for part in parts),
        )
        layer: Layer = "batch" if all(part.is_of_batch for part in parts) else "both"
        row = MergedRow(first, end, tuple(key.values()), total, layer, doubt).estimated(self._view)
        named = dict(zip(self._view.columns, row.estimates, strict=True))
        return KeyHistory(named, row.is_exact, row.has_gap)

    def _days(self) -> tuple[int, int]:
        """Where the first day begins, and today."""
        now, windows = self._clock(), self.metric.calendar.windows
        ((first, _),) = windows(_DAY, now - self._last_ms, now - self._last_ms + 1)
        ((today, _),) = windows(_DAY, now, now + 1)
        return first, today

    async def _read_key(
        self, key: Mapping[str, Dimension], start: int, end: int, today: int
    ) -> _DaysRead:
        names = dims_of(self.metric, [*key])
        chosen = ChosenDims(self._view, names, _filter(key))
        parts, absent = await self._read(await self._opened(), chosen, start, end, today)
        return parts.get(tuple(key[name] for name in names), absent)

    async def _read(
        self, store: ServingStore, chosen: ChosenDims, start: int, end: int, today: int
    ) -> tuple[dict[tuple[Dimension, ...], _DaysRead], _DaysRead]:
        """What days have of each key, and of all others."""
        read_s = time.monotonic()
        request = QueryRequest(start, end, _DAY, self.metric.calendar)
        if start < today:
            reading, ready = await read_ready(self._view, request, chosen, store, False)
        else:  # today is never ready
            reading, ready = await read_spans(self._view, request, chosen, store), None
        doubts = Doubts(self._view, reading)
        absent = _DaysRead(None, doubts.about(start, end), True, today, read_s)
        buckets = request.buckets(held_range(self._view, reading, with_left_out=True))
        parts: dict[tuple[Dimension, ...], _DaysRead] = {}
        of_rows = ready.of_rows(self._view, buckets) if ready and buckets else None
        for row in merge(self._view, doubts, buckets, chosen, of_rows) if buckets else ():
            part = parts.get(row.dims, absent)
            if part.states is None:
                states = row.states
            else:
                self._view.merge(states := part.states, row.states)
            is_of_batch = part.is_of_batch and row.layer == "batch"
            parts[row.dims] = replace(part, states=states, is_of_batch=is_of_batch)
        return parts, absent

    async def _opened(self) -> ServingStore:
        if self._store is None or isinstance(self._store, str):
            from fastdata.store.opening import open_store

            url = Settings.load().store if self._store is None else self._store
            self._store = await self._stack.enter_async_context(open_store(url, create=False))
        return self._store

    def _keep_past(self, key: _Key, past: _DaysRead) -> None:
        if (gone := self._keep(self._past, key, past)) is not None:
            # Or else it would be taken for one that was not there.
            self._absent.pop(tuple(name for name, _, _ in gone), None)

    def _keep(self, cache: OrderedDict[_Key, _V], key: _Key, value: _V) -> _Key | None:
        """Keep something of a key; the key that goes for it."""
        cache[key] = value
        cache.move_to_end(key)
        return cache.popitem(last=False)[0] if len(cache) > self._most else None


def _filter(key: Mapping[str, Dimension]) -> Filter:
    """What holds for one combination of dimensions; True and 1 are not the same."""
    choices = {name: frozenset([value]) for name, value in key.items()}

    def is_key(values: Mapping[str, object]) -> bool:
        return all(values[n] == v and type(values[n]) is type(v) for n, v in key.items())

    return Filter([*key], choices, is_key)
