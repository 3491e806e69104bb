"""Answers of derived metrics: two metrics of two topics, joined."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

import fastdata
from fastdata.answer.arrow import describe
from fastdata.errors import QueryError
from fastdata.store.memory import MemoryStore
from tests.answer.apps import NOON, ONE, TWO, Apps

RATE = ("crashes_per_load", "crashes_per_load_lower", "crashes_per_load_upper")


@pytest.fixture
async def apps(tmp_path: Path) -> AsyncIterator[Apps]:
    """Batch counted two hours of both; of the second there is no crash."""
    async with MemoryStore() as store:
        apps = Apps(tmp_path, store)
        await apps.count(apps.crashes, NOON, {"1.0": "aab", "1.1": "c"})
        await apps.count(apps.crashes, ONE)
        await apps.count(apps.loads, NOON, {"1.0": "abcdabcd", "1.1": "cdef"})
        await apps.count(apps.loads, ONE, {"1.0": "ab", "1.1": "cd"})
        for metric in (apps.crashes, apps.loads):
            await apps.reach(metric, TWO)
        yield apps


def at(hour: int) -> datetime:
    return datetime(2024, 2, 29, hour, tzinfo=UTC)


async def test_rows_are_joined_by_window_and_by_what_both_have(apps: Apps) -> None:
    names = ("window_start", "version", "crashes_per_load", "crash_free", "exact")

    assert [
        (at(12), "1.0", 3 / 8, 1 - 2 / 4, True),
        (at(12), "1.1", 1 / 4, 1 - 1 / 4, True),
        (at(13), "1.0", 0.0, 1.0, True),
        (at(13), "1.1", 0.0, 1.0, True),
    ] == await apps.rows(*names, by="version")
    assert [(at(12), 4 / 12, 1 - 3 / 6, True), (at(13), 0.0, 1.0, True)] == await apps.rows(
        *names[:1], *names[2:]
    )


async def test_the_table_has_the_columns_of_any_answer(apps: Apps) -> None:
    table = await fastdata.query(apps.stability, by="version", store=apps.store)

    assert [
        "window_start", "window_end", "version", *RATE, "crash_free", "crash_free_lower",
        "crash_free_upper", "exact", "fresh_until", "read_until", "gap",
    ] == table.column_names  # fmt: skip
    about = describe(table)
    assert ("stability", apps.stability.id) == (about["metric"], about["definition"])
    assert [{"start": "2024-02-29T12:00:00Z", "end": "2024-02-29T14:00:00Z"}] == about["replayed"]


async def test_without_a_denominator_there_is_no_value(apps: Apps) -> None:
    await apps.count(apps.loads, TWO)
    await apps.count(apps.crashes, TWO, {"1.0": "a"})
    for metric in (apps.crashes, apps.loads):
        await apps.reach(metric, TWO + 3_600_000)

    assert [(None, None, None, True)] == await apps.rows(*RATE, "exact", start="2024-02-29T14:00")


async def test_an_hour_that_one_metric_was_not_counted_in_is_not_exact(apps: Apps) -> None:
    await apps.count(apps.loads, TWO, {"1.0": "ab"})

    assert [(0.0, 0.0, 0.0, False)] == await apps.rows(*RATE, "exact", start="2024-02-29T14:00")
    table = await fastdata.query(apps.stability, store=apps.store)
    assert "2024-02-29T14:00:00Z" == describe(table)["replayed"][-1]["end"]


async def test_what_may_be_missing_of_a_side_without_a_row_widens_its_bounds(apps: Apps) -> None:
    await apps.leave_out(apps.crashes, ONE, 2)

    assert [
        ("1.0", 0.0, 0.0, 2 / 2, False, False),
        ("1.1", 0.0, 0.0, 2 / 2, False, False),
    ] == await apps.rows("version", *RATE, "exact", "gap", by="version", start="2024-02-29T13:00")


async def test_a_gap_of_either_is_a_gap_of_the_row_and_widens_it(apps: Apps) -> None:
    await apps.lose(apps.loads, 4)

    assert [(4 / 12, 4 / 16, 4 / 12, False, True), (0.0, 0.0, 0.0, False, True)] == await apps.rows(
        *RATE, "exact", "gap"
    )
    table = await fastdata.query(apps.stability, store=apps.store)
    assert [{"start": "2024-02-29T12:00:00Z", "end": "2024-02-29T14:00:00Z"}] == describe(table)[
        "gaps"
    ]


async def test_it_is_as_fresh_and_as_far_read_as_the_metric_that_is_behind(apps: Apps) -> None:
    await apps.count(apps.loads, TWO, {"1.0": "ab"})
    await apps.reach(apps.loads, TWO + 3_600_000)

    rows = await apps.rows("fresh_until", "read_until", "exact")
    assert [(at(14), at(14), True), (at(14), at(14), True), (at(14), at(14), False)] == rows


async def test_nothing_is_fresh_while_a_metric_tells_nothing(tmp_path: Path) -> None:
    async with MemoryStore() as store:
        apps = Apps(tmp_path, store)
        await apps.count(apps.loads, NOON, {"1.0": "ab"})
        await apps.reach(apps.loads, TWO)
        await apps.count(apps.crashes, NOON, {"1.0": "a"})

        assert [(0.5, None, None, False)] == await apps.rows(
            "crashes_per_load", "fresh_until", "read_until", "exact"
        )


async def test_windows_of_both_are_cut_alike_where_nothing_is_asked(apps: Apps) -> None:
    await apps.count(apps.crashes, TWO, {"1.0": "a"})

    assert [(at(12), datetime(2024, 2, 29, 15, tzinfo=UTC), 5 / 16)] == await apps.rows(
        "window_start", "window_end", "crashes_per_load", every="day"
    )


async def test_days_roll_and_are_of_the_zone_that_is_asked_for(apps: Apps) -> None:
    days = await apps.rows(
        "window_start", "window_end", "crashes_per_load", every="day", rolling="2d",
        zone="Asia/Tokyo", start="2024-02-29", end="2024-03-02",
    )  # fmt: skip

    assert [
        (datetime(2024, 2, 27, 15, tzinfo=UTC), at(15), 4 / 16),
        (datetime(2024, 2, 28, 15, tzinfo=UTC), datetime(2024, 3, 1, 15, tzinfo=UTC), 4 / 16),
    ] == days


async def test_rows_are_chosen_sorted_and_limited_after_the_join(apps: Apps) -> None:
    best = {"order": "crashes_per_load desc", "limit": 1, "by": "version", "every": "all"}

    assert [("1.0", 0.3)] == await apps.rows("version", "crashes_per_load", **best)
    assert [("1.1", 1 / 6)] == await apps.rows(
        "version", "crashes_per_load", where="version <> '1.0'", **best
    )


async def test_only_what_is_asked_for_is_read_and_has_to_be_exact(apps: Apps) -> None:
    await apps.fold(apps.crashes, ONE, "1.0", "a")

    assert [(1 / 4, False)] == await apps.rows(
        "crashes_per_load", "exact", measures="crashes_per_load", start="2024-02-29T13:00"
    )


async def test_rows_say_of_which_layer_they_are(apps: Apps) -> None:
    await apps.fold(apps.crashes, ONE, "1.0", "a")
    await apps.fold(apps.loads, TWO, "1.0", "a")

    assert [("batch",), ("both",), ("speed",)] == await apps.rows("layer", layers=True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"by": "screen"}, "metric 'stability' has no dimension 'screen'; its dimensions are: ver"),
        ({"where": "country = 'NO'"}, "there is no dimension 'country'"),
        ({"measures": "crash_fre"}, "no measure 'crash_fre'; did you mean 'crash_free'?"),
        ({"order": "loads desc"}, "rows cannot be sorted by 'loads'"),
        ({"items": {"crash_free": "x"}}, "has no measure that is about an item"),
        ({"zone": "Mars"}, "zone"),
        ({"every": "month", "rolling": "30d"}, "every must be 'day'"),
    ],
)
async def test_what_cannot_be_asked_is_refused(
    apps: Apps, words: dict[str, object], message: str
) -> None:
    with pytest.raises(QueryError, match=message.replace("(", r"\(")):
        await apps.rows(**words)


async def test_what_is_merged_from_states_cannot_be_asked_of_it(apps: Apps) -> None:
    one, other = {"version": "1.0"}, {"version": "1.1"}
    with pytest.raises(QueryError, match="give a Metric"):
        await fastdata.compare(apps.stability, "users", one, other, store=apps.store)  # type: ignore[arg-type]
    with pytest.raises(QueryError, match="give a Metric"):
        await fastdata.lift(apps.stability, one, other, store=apps.store)  # type: ignore[arg-type]
