"""Answers from totals of whole hours, against those from minutes."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from fastdata import Count, First, Histogram, Max, Metric, Min, StdDev, Sum, TopK, Uniques
from fastdata.answer.query import query
from fastdata.answer.reading import whole_hours
from fastdata.answer.request import QueryRequest
from fastdata.batch.hours import hour_totals
from fastdata.coordinates.dimensions import Dimension, dump_dims, tip_dims
from fastdata.coordinates.instants import DAY_MS, HOUR_MS, MINUTE_MS, parse_instant, to_datetime
from fastdata.coordinates.segments import Coverage
from fastdata.declare.metric import Measure
from fastdata.store import hours
from fastdata.store.memory import MemoryStore
from fastdata.store.opening import open_store
from fastdata.store.protocol import Flip, Gap, Partial, Progress, Reading, ServingStore, Total
from tests.answer.trips import NO_FIELDS, NOON, ONE, SIZE, TWO, declare, declare_source, unfolded

FIRST = parse_instant("2013-01-01")
END = FIRST + 4 * DAY_MS


class ByMinute:
    """A store that gives no whole hours; counts how many totals each way of reading gave."""

    def __init__(self, store: ServingStore) -> None:
        self.store = store
        self.of_hours = self.of_minutes = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self.store, name)

    async def read(self, *args: object, **kwargs: object) -> Reading:
        by_hour = await self.store.read(*args, **kwargs)  # type: ignore[arg-type]
        reading = await self.store.read(*args, **(kwargs | {"hours": None}))  # type: ignore[arg-type]
        self.of_hours += len(by_hour.totals)
        self.of_minutes += len(reading.totals)
        return reading


@pytest.mark.parametrize(
    ("start", "end", "every", "zone", "expected"),
    [
        ("2013-01-01T12:00", "2013-01-01T14:00", "1h", None, [(NOON, TWO)]),
        ("2013-01-01T12:00", "2013-01-01T14:00", "1d", None, [(NOON, TWO)]),
        ("2013-01-01T12:01", "2013-01-01T14:00", "all", None, [(ONE, TWO)]),
        ("2013-01-01T12:00", "2013-01-01T13:59", "day", None, [(NOON, ONE)]),
        ("2013-01-01T12:01", "2013-01-01T13:59", "all", None, []),
        ("2013-01-01T12:00", "2013-01-01T14:00", "15m", None, []),
        ("2013-01-01T12:00", "2013-01-01T14:00", "90m", None, []),
        (None, None, "month", None, [(NOON, TWO)]),
        (None, None, "day", "Europe/Berlin", [(NOON, TWO)]),
        # Midnight in Kolkata is half past six of the evening before.
        (None, None, "day", "Asia/Kolkata", [(NOON, TWO)]),
    ],
)
def test_hours_that_no_window_cuts(
    tmp_path: Path,
    start: str | None,
    end: str | None,
    every: str,
    zone: str | None,
    expected: Sequence[tuple[int, int]],
) -> None:
    request = QueryRequest.parse(declare(tmp_path), start, end, every, None, zone and "UTC")

    assert whole_hours(request, NOON, TWO) == expected


def test_an_hour_in_which_a_day_begins_is_cut(tmp_path: Path) -> None:
    request = QueryRequest.parse(declare(tmp_path), None, None, "day", None, "Asia/Kolkata")
    begins = parse_instant("2013-01-01T18:00Z")

    assert whole_hours(request, NOON, begins + 25 * HOUR_MS) == [
        (NOON, begins),
        (begins + HOUR_MS, begins + 24 * HOUR_MS),
    ]


def test_a_week_in_india_is_cut_where_it_begins_only(tmp_path: Path) -> None:
    request = QueryRequest.parse(declare(tmp_path), None, None, "week", None, "Asia/Kolkata")
    monday = parse_instant("2013-01-06T18:00Z")

    assert whole_hours(request, NOON, monday + DAY_MS) == [
        (NOON, monday),
        (monday + HOUR_MS, monday + DAY_MS),
    ]


def test_rolling_days_are_not_cut_at_their_beginning(tmp_path: Path) -> None:
    request = QueryRequest.parse(
        declare(tmp_path), "2013-01-03T12:30", "2013-01-04T12:30", "day", "2d"
    )
    start, end = request.read_range(HOUR_MS)

    assert whole_hours(request, start, end) == [(FIRST + DAY_MS, FIRST + 3 * DAY_MS + 12 * HOUR_MS)]


MEASURES: dict[str, Measure] = {
    "n": Count(), "km": Sum("km"), "least": Min("km"), "most": Max("km"), "spread": StdDev("km"),
    "riders": Uniques("rider"), "first": First("rider"), "often": TopK("rider"),
    "far": Histogram("km", edges=[10, 20, 40]),
}  # fmt: skip


class World:
    """Versions of hours, some with whole hours, tips and fresh partials, as both layers write."""

    def __init__(self, metric: Metric, store: ServingStore, seed: int) -> None:
        self.metric = metric
        self.store = store
        self.rng = random.Random(seed)

    def state(self, *, exact: bool) -> bytes:
        states = self.metric.zero(exact)
        for _ in range(self.rng.randrange(1, 4)):
            km = self.rng.choice([None, *range(60)])
            rider = f"rider {self.rng.randrange(40)}"
            self.metric.add(states, NO_FIELDS | {"km": km, "rider": rider}, NOON)
        return self.metric.dump(states)

    def dims(self, number: int) -> str:
        rest: list[Dimension] = (
            ["Oslo", 1] if number == 0 else [f"c{number}", self.rng.randrange(2)]
        )
        if self.metric.selection.sets:
            return dump_dims([1, *rest]) if number else dump_dims([0])
        return dump_dims(rest)

    def totals(self, span: int, *, has_tips: bool) -> list[Total]:
        rows = {
            (span + self.rng.randrange(60) * MINUTE_MS, self.dims(self.rng.randrange(4)))
            for _ in range(self.rng.choice([0, 3, 60, 200]))
        }
        totals = [Total(*row, self.state(exact=True)) for row in rows]
        if has_tips:
            tips = self.rng.sample(sorted(rows), min(len(rows), 4))
            totals += [Total(w, tip_dims(d, 0), self.state(exact=True)) for w, d in tips]
        return sorted(totals)

    async def replay(self, segments: int) -> None:
        """A run over some of the hours."""
        first = FIRST + self.rng.randrange(24) * HOUR_MS
        last = END - self.rng.randrange(24) * HOUR_MS
        heads = await self.store.heads(self.metric.id, first, last)
        run = await self.store.open_run(self.metric.id, first, last, Coverage())
        spans, whole, coverages = {}, {}, {}
        for span in range(first, last, HOUR_MS):
            has_tips = self.rng.random() < 0.2
            until = {0: segments * SIZE + 50} if has_tips else {}
            coverages[span] = Coverage({0: segments}, until, has_tips)
            spans[span] = self.totals(span, has_tips=has_tips)
            if self.rng.random() < 0.9:  # else as an earlier fastdata wrote it
                whole[span] = hour_totals(self.metric, span, spans[span])
        held = await self.store.write_totals(self.metric.id, run.number, spans, None, whole)
        flips = [
            Flip(s, (h.version, h.coverage) if h else None, run.number, coverages[s], rows)
            for s, rows in held.items()
            for h in [heads.get(s)]
        ]
        await self.store.publish(self.metric.id, flips)
        await self.store.close_run(run.number)

    async def fold(self, segment: int) -> None:
        partials = []
        for n in range(60):
            window = FIRST + self.rng.randrange(5 * 24 * 60) * MINUTE_MS
            dims, stamp = self.dims(self.rng.randrange(5)), segment * SIZE + n
            state = self.state(exact=False)
            partials.append(Partial(self.metric.id, window, dims, 0, segment, stamp, state))
        report = Progress("trips", 0, (segment + 1) * SIZE, END, END, END, is_at_end=True)
        late = unfolded(self.metric, FIRST + 30 * HOUR_MS, "late", 2, segment)
        await self.store.upsert([*partials, late], [report])

    async def undo(self) -> None:
        for span in self.rng.sample(range(FIRST, END, HOUR_MS), 10):
            await self.store.undo(self.metric.id, span)

    def question(self) -> dict[str, object]:
        rng = self.rng
        edges = sorted(rng.sample(range(FIRST - DAY_MS, END + DAY_MS, 10 * MINUTE_MS), 2))
        unit = rng.choice([1, HOUR_MS])
        start, end = (to_datetime(edge - edge % unit) for edge in edges)
        every = rng.choice(["1h", "2h", "1d", "day", "day", "week", "month", "all", "90m"])
        where = ["city = 'Oslo'", "city in ('c1', 'c2') and line = 0", "city <> 'c1'"]
        return {
            "start": rng.choice([None, start]),
            "end": rng.choice([None, end]) if start < end else None,
            "every": every,
            "rolling": rng.choice([None, "3d"]) if every == "day" else None,
            "zone": rng.choice([None, "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe"]),
            "by": rng.choice([None, "city", ["city", "line"]]),
            "where": rng.choice([None, None, *where]),
            "measures": rng.choice([None, None, ["n", "riders"]]),
            "layers": True,
        }


@pytest.mark.parametrize("url", ["memory:", "sqlite:///"])
@pytest.mark.parametrize("sets", [None, [[], ["city", "line"]]])
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.nightly)])
async def test_answers_are_those_from_minutes(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    url: str,
    sets: list[list[str]] | None,
    seed: int,
) -> None:
    monkeypatch.setattr(hours, "_FEW", 8)
    by = ["city", "line"]
    metric = Metric("rides", declare_source(tmp_path), by=by, measures=MEASURES, grouping_sets=sets)
    file = str(tmp_path / "store.db") if url.startswith("sqlite") else ""
    async with open_store(f"{url}{file}") as store:
        world, plain = World(metric, store, seed), ByMinute(store)
        for segments in (1, 2, 3):
            await world.replay(segments)
            await world.fold(segments)
            await world.undo()
        for n in range(30):
            options = world.question()
            expected = await query(metric, **options, store=plain)  # type: ignore[arg-type]
            table = await query(metric, **options, store=store)  # type: ignore[arg-type]
            assert table.equals(expected), options
            if n == 15:
                await world.store.clean_up(metric.id, FIRST, END)
                await world.store.record_gap(Gap("trips", 0, 250, 260))
    # Most of what is asked for has whole hours.
    assert plain.of_hours < plain.of_minutes / 2


async def test_a_late_event_is_in_the_hour_that_it_is_of(tmp_path: Path) -> None:
    metric, store = declare(tmp_path), MemoryStore()
    world = World(metric, store, 3)
    rows = [Total(NOON + n * MINUTE_MS, '["Oslo",1]', world.state(exact=True)) for n in range(60)]
    whole = {NOON: hour_totals(metric, NOON, rows)}
    held = await store.write_totals(metric.id, 1, {NOON: rows}, None, whole)
    await store.publish(metric.id, [Flip(NOON, None, 1, Coverage({0: 1}), held[NOON])])
    before = await query(metric, every="1h", store=store)
    late = Partial(metric.id, NOON, '["Oslo",1]', 0, 1, SIZE, world.state(exact=False))
    await store.upsert([late], [])
    after = await query(metric, every="1h", store=store)
    added = metric.estimate(metric.load(late.state))[0].value

    assert (len(whole[NOON]), after["n"].to_pylist()) == (1, [before["n"][0].as_py() + added])
