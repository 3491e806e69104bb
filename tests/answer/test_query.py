"""From arguments to an Arrow table, over a store."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from fastdata import Count, Max, Metric, Sum
from fastdata.answer.arrow import describe
from fastdata.answer.query import query
from fastdata.coordinates.dimensions import dump_dims
from fastdata.coordinates.instants import HOUR_MS
from fastdata.coordinates.segments import Coverage
from fastdata.errors import QueryError
from fastdata.store.memory import MemoryStore
from fastdata.store.protocol import Flip, Partial, Reading, Total
from tests.answer.trips import (
    MINUTE,
    NOON,
    ONE,
    TWO,
    declare,
    declare_source,
    gap,
    partial,
    progress,
    total,
    unfolded,
)

INSTANT = pa.timestamp("ms", tz="UTC")


@pytest.fixture
def rides(tmp_path: Path) -> Metric:
    return declare(tmp_path)


@pytest.fixture
async def store(rides: Metric) -> AsyncIterator[MemoryStore]:
    """Batch counted two hours; then the speed layer folded one more trip of the second."""
    async with MemoryStore() as store:
        totals = {
            NOON: [total(rides, NOON, ["Oslo", 1], [(5, "anna"), (7, "ben")])],
            ONE: [total(rides, ONE + MINUTE, [None, 2], [(None, None)])],
        }
        await store.write_totals(rides.id, 1, totals)
        flips = [Flip(span, None, 1, Coverage({0: 3}), 1) for span in totals]
        await store.publish(rides.id, flips)
        await store.upsert([partial(rides, ONE, ["Oslo", 1], [(2, "anna")])], [progress(TWO)])
        yield store


async def test_one_row_of_each_bucket_and_combination(rides: Metric, store: MemoryStore) -> None:
    table = await query(
        rides,
        "2013-01-01T12:00",
        "2013-01-01T14:00",
        every="1h",
        by=["city"],
        store=store,
    )
    noon, one, two = (datetime(2013, 1, 1, hour, tzinfo=UTC) for hour in (12, 13, 14))
    assert {
        "window_start": [noon, one, one],
        "window_end": [one, two, two],
        "city": ["Oslo", None, "Oslo"],
        "n": [2, 1, 1],
        "n_lower": [2, 1, 1],
        "n_upper": [2, 1, 1],
        "km": [12, 0, 2],
        "km_lower": [12, 0, 2],
        "km_upper": [12, 0, 2],
        "mean": [6.0, None, 2.0],
        "mean_lower": [6.0, None, 2.0],
        "mean_upper": [6.0, None, 2.0],
        "longest": [7, None, 2],
        "longest_lower": [7, None, 2],
        "longest_upper": [7, None, 2],
        "riders": [2, 0, 1],
        "riders_lower": [2, 0, 1],
        "riders_upper": [2, 0, 1],
        "exact": [True, True, False],
        "fresh_until": [two, two, two],
        "read_until": [two, two, two],
        "gap": [False, False, False],
    } == table.to_pydict()


async def test_the_schema_is_the_same_with_and_without_rows(
    rides: Metric, store: MemoryStore
) -> None:
    expected = pa.schema(
        [
            ("window_start", INSTANT),
            ("window_end", INSTANT),
            ("city", pa.string()),
            ("line", pa.int64()),
        ]
        + [
            (name + suffix, pa.float64() if name == "mean" else pa.int64())
            for name in ("n", "km", "mean", "longest", "riders")
            for suffix in ("", "_lower", "_upper")
        ]
        + [
            ("exact", pa.bool_()),
            ("fresh_until", INSTANT),
            ("read_until", INSTANT),
            ("gap", pa.bool_()),
        ]
    )
    by = ["city", "line"]
    full = await query(rides, by=by, store=store)
    empty = await query(rides, "2020-01-01", "2020-01-02", by=by, store=store)
    nothing = await query(rides, by=by, store=MemoryStore())
    assert (3, 0, 0) == (full.num_rows, empty.num_rows, nothing.num_rows)
    assert expected == full.schema == empty.schema == nothing.schema


async def test_dimensions_and_measures_have_the_types_of_their_fields(tmp_path: Path) -> None:
    metric = Metric(
        "typed",
        declare_source(tmp_path),
        by=["at", "is_night", "day"],
        measures={"fares": Sum("fare"), "last": Max("at"), "n": Count()},
    )
    states = metric.zero()
    metric.add(states, {"fare": Decimal("1.25"), "at": NOON, "is_night": True, "day": 15_706})
    store = MemoryStore()
    dims = dump_dims([NOON, True, 15_706])
    await store.upsert([Partial(metric.id, NOON, dims, 0, 0, 0, metric.dump(states))], [])
    table = await query(metric, by=metric.by, store=store)
    noon = datetime(2013, 1, 1, 12, tzinfo=UTC)
    names = ["at", "is_night", "day", "fares", "last", "fresh_until"]
    assert [noon, True, date(2013, 1, 1), Decimal("1.25"), noon, None] == [
        table.column(name)[0].as_py() for name in names
    ]
    types = [INSTANT, pa.bool_(), pa.date32(), pa.decimal128(38, 2), INSTANT, INSTANT]
    assert types == [table.schema.field(name).type for name in names]


async def test_the_table_says_what_it_answers(rides: Metric, store: MemoryStore) -> None:
    await store.upsert([unfolded(rides, NOON, "late", 4)], [])
    table = await query(rides, "2013-01-01T12:30", every="30m", by="city", store=store)
    assert {
        "metric": "rides",
        "definition": rides.id,
        "start": "2013-01-01T12:30:00Z",
        "end": "2013-01-01T14:00:00Z",
        "every": "30m",
        "rolling": None,
        "zone": "UTC",
        "by": ["city"],
        "where": None,
        "order": [],
        "limit": None,
        "fresh_until": "2013-01-01T14:00:00Z",
        "read_until": "2013-01-01T14:00:00Z",
        "unfolded": 4,
        "replayed": [{"start": "2013-01-01T12:30:00Z", "end": "2013-01-01T14:00:00Z"}],
        "gaps": [],
        "earlier": None,
    } == describe(table)


async def test_the_table_says_which_hours_were_replayed_and_which_may_lack_something(
    rides: Metric, store: MemoryStore
) -> None:
    await store.record_gap(gap(250, 400))
    await store.publish(rides.id, [Flip(TWO, None, 1, Coverage({0: 4}), 0)])
    end = "2013-01-01T16:00"
    about = describe(await query(rides, "2013-01-01T11:30", end, every="30m", store=store))
    assert [("12:00", "15:00")] == stretches(about["replayed"])
    assert [("11:30", "14:00"), ("15:00", "16:00")] == stretches(about["gaps"])


def stretches(of: list[dict[str, str]]) -> list[tuple[str, str]]:
    return [(each["start"][11:16], each["end"][11:16]) for each in of]


async def test_of_rolling_days_those_before_the_range_are_replayed_too(
    rides: Metric, store: MemoryStore
) -> None:
    days = "2013-01-03", "2013-01-04"
    about = describe(await query(rides, *days, every="day", rolling="7d", store=store))
    assert [("12:00", "14:00")] == stretches(about["replayed"])


async def test_a_store_without_the_metric_gives_an_empty_table(rides: Metric) -> None:
    table = await query(rides, every="all", store=MemoryStore())
    assert (None, None, None) == tuple(
        describe(table)[key] for key in ("start", "end", "fresh_until")
    )


async def test_without_a_range_all_that_is_stored_is_answered(
    rides: Metric, store: MemoryStore
) -> None:
    table = await query(rides, every="all", store=store)
    assert [4] == table.column("n").to_pylist()
    assert ("2013-01-01T12:00:00Z", "2013-01-01T14:00:00Z") == (
        describe(table)["start"],
        describe(table)["end"],
    )


async def test_an_end_before_what_is_stored_gives_an_empty_table(
    rides: Metric, store: MemoryStore
) -> None:
    assert 0 == (await query(rides, end="2012-01-01", store=store)).num_rows


async def test_aware_times_and_timedeltas_are_taken(rides: Metric, store: MemoryStore) -> None:
    start = datetime(2013, 1, 1, 13, tzinfo=UTC)
    table = await query(
        rides, start, start + timedelta(hours=1), every=timedelta(minutes=1), store=store
    )
    assert [1, 1] == table.column("n").to_pylist()


async def test_a_range_within_an_hour_reads_all_that_was_not_folded_of_the_hour(
    rides: Metric, store: MemoryStore
) -> None:
    await store.upsert([unfolded(rides, ONE, "late", 3)], [])
    table = await query(rides, "2013-01-01T13:01", "2013-01-01T13:02", every="1m", store=store)
    assert [(1, 4, False)] == list(
        zip(*(table.column(name).to_pylist() for name in ("n", "n_upper", "exact")), strict=True)
    )


async def test_a_late_event_is_counted_once_before_and_after_batch_covers_it(
    rides: Metric, store: MemoryStore
) -> None:
    async def ask() -> tuple[list[int], list[bool]]:
        table = await query(rides, "2013-01-01T13:00", "2013-01-01T14:00", every="all", store=store)
        return table.column("n").to_pylist(), table.column("exact").to_pylist()

    assert ([2], [False]) == await ask()
    rows = [
        total(rides, ONE, ["Oslo", 1], [(2, "anna")]),
        total(rides, ONE + MINUTE, [None, 2], [(None, None)]),
    ]
    await store.write_totals(rides.id, 2, {ONE: rows})
    flip = Flip(ONE, (1, Coverage({0: 3})), 2, Coverage({0: 4}), 2)
    await store.publish(rides.id, [flip])
    assert ([2], [True]) == await ask()


async def test_unfolded_events_and_gaps_are_forgotten_when_batch_covers_them(
    rides: Metric, store: MemoryStore
) -> None:
    async def ask() -> list[object]:
        table = await query(rides, "2013-01-01T12:00", "2013-01-01T13:00", every="all", store=store)
        return [table.column(name)[0].as_py() for name in ("n", "n_upper", "exact", "gap")]

    await store.upsert([unfolded(rides, NOON, "late", 4)], [])
    await store.record_gap(gap(350, 400))
    assert [2, 56, False, True] == await ask()
    # The new segments held no event of the hour after all: the same rows, another label.
    relabelling = Flip(NOON, (1, Coverage({0: 3})), 1, Coverage({0: 4}), None)
    await store.publish(rides.id, [relabelling])
    assert [2, 2, True, False] == await ask()


async def test_before_1970(rides: Metric) -> None:
    store = MemoryStore()
    late = partial(rides, -3 * HOUR_MS, ["Oslo", 1], [(5, "anna")])
    await store.upsert([late], [progress(-HOUR_MS)])
    table = await query(rides, every="1d", store=store)
    assert [datetime(1969, 12, 31, 21, tzinfo=UTC)] == table.column("window_start").to_pylist()
    assert "1969-12-31T23:00:00Z" == describe(table)["fresh_until"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"by": ["cities"]}, r"no dimension 'cities'; did you mean 'city'\? Its dimensions"),
        ({"every": "90s"}, "every is 90s; it must be 'all' or a whole number of minutes"),
        ({"every": "0m"}, "every is 0m"),
        ({"every": "often"}, "every: not a duration: 'often'"),
        ({"every": timedelta(days=-1)}, "negative"),
        ({"start": "2013-01-02", "end": "2013-01-01"}, "its end 2013-01-01 is not after"),
        ({"start": "2013-01-01", "end": "2013-01-01"}, "the range is empty"),
        ({"start": "tomorrow"}, "start: not a date or time: 'tomorrow'"),
        ({"start": "today", "last": "1h"}, "give only one of them"),
        ({"end": datetime(2013, 1, 1)}, "no time zone"),  # noqa: DTZ001
    ],
)
async def test_a_wrong_argument_is_an_error_that_says_what_to_do(
    rides: Metric, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(QueryError, match=message):
        await query(rides, store=MemoryStore(), **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("each", "type"),
    [
        (-(2**62), pa.int64()),
        (-(2**62) - 1, pa.decimal128(38)),
        (2**62, pa.decimal128(38)),
        (10**40, pa.decimal256(76)),
    ],
)
async def test_a_sum_past_64_bits_is_exact_all_the_same(
    rides: Metric, each: int, type: pa.DataType
) -> None:
    store = MemoryStore()
    rows = [total(rides, NOON, ["Oslo", 1], [(each, None), (each, None)])]
    await store.write_totals(rides.id, 1, {NOON: rows})
    await store.publish(rides.id, [Flip(NOON, None, 1, Coverage({0: 3}), 1)])
    table = await query(rides, store=store)

    assert table.schema.field("km").type == type
    assert table["km"].to_pylist() == [Decimal(2 * each)]


async def test_a_dimension_that_a_map_function_changed_to_another_type_is_an_error(
    rides: Metric,
) -> None:
    store = MemoryStore()
    wrong = Total(NOON, dump_dims(["Oslo", "one"]), total(rides, NOON, [], []).state)
    await store.write_totals(rides.id, 1, {NOON: [wrong]})
    await store.publish(rides.id, [Flip(NOON, None, 1, Coverage({0: 3}), 1)])
    with pytest.raises(QueryError, match="'line' does not fit"):
        await query(rides, by="line", store=store)


async def test_a_table_of_something_else_has_no_description() -> None:
    with pytest.raises(QueryError, match="not made by a query"):
        describe(pa.table({"n": [1]}))


async def test_a_row_says_of_which_layers_it_is(rides: Metric, store: MemoryStore) -> None:
    await store.upsert([partial(rides, NOON, ["Oslo", 1], [(1, None)], segment=7)], [])
    answer = await query(rides, by="city", layers=True, store=store)
    rows = list(zip(*(answer.column(c).to_pylist() for c in ("city", "n", "layer")), strict=True))
    assert [("Oslo", 3, "both"), (None, 1, "batch"), ("Oslo", 1, "speed")] == rows
    assert "layer" not in (await query(rides, store=store)).schema.names


async def test_a_metric_with_a_dimension_layer_cannot_be_asked_for_layers(tmp_path: Path) -> None:
    rides = Metric("rides", declare_source(tmp_path), measures={"layer": Count()})
    async with MemoryStore() as store:
        with pytest.raises(QueryError, match="'layer' of its own"):
            await query(rides, layers=True, store=store)


async def test_only_partials_of_the_windows_asked_for_are_read(
    rides: Metric, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.upsert([partial(rides, ONE + 5 * MINUTE, ["Oslo", 1], [(3, "ben")])], [])
    seen, read = [], store.read

    async def note(*args: object, **options: object) -> Reading:
        reading = await read(*args, **options)  # type: ignore[arg-type]
        seen.append([p.window for p in reading.partials])
        return reading

    monkeypatch.setattr(store, "read", note)
    within = "2013-01-01T13:04", "2013-01-01T13:06"
    table = await query(rides, *within, every="1m", by=[], store=store)
    assert table.column("n").to_pylist() == [1]
    day = await query(rides, "2013-01-01", "2013-01-02", every="day", by=[], store=store)
    assert day.column("n").to_pylist() == [5]

    assert seen == [[ONE + 5 * MINUTE], [ONE, ONE + 5 * MINUTE]]
