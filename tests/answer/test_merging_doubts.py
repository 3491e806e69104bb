"""When a row is exact, and what its bounds allow for."""

from pathlib import Path

import pytest

from fastdata import Estimate, Metric
from fastdata.answer.merge import Buckets, Row
from fastdata.coordinates.instants import HOUR_MS
from fastdata.coordinates.segments import Coverage
from fastdata.store.protocol import Gap, Head, Partial, Progress, Reading
from tests.answer.trips import (
    MINUTE,
    NOON,
    ONE,
    TWO,
    declare,
    gap,
    head,
    merge,
    partial,
    progress,
    reading,
    total,
    unfolded,
)

HOURLY = Buckets(NOON, TWO, HOUR_MS)
BOTH = (head(NOON), head(ONE))


@pytest.fixture
def rides(tmp_path: Path) -> Metric:
    return declare(tmp_path)


def read(
    metric: Metric,
    heads: tuple[Head, ...] = BOTH,
    missed: tuple[Partial, ...] = (),
    gaps: tuple[Gap, ...] = (),
    progresses: tuple[Progress, ...] = (progress(TWO),),
) -> Reading:
    """One trip at noon and one at one."""
    totals = [total(metric, hour, ["Oslo", 1], [(5, "anna")]) for hour in (NOON, ONE)]
    return reading(heads, totals, (), missed, gaps, progresses)


def exact(rows: list[Row]) -> list[bool]:
    return [row.is_exact for row in rows]


def counts(rows: list[Row]) -> list[Estimate]:
    return [row.estimates[0] for row in rows]


def test_totals_with_heads_and_a_watermark_behind_them_are_exact(rides: Metric) -> None:
    assert [True, True] == exact(merge(rides, read(rides), HOURLY))


def test_an_hour_without_a_head_is_not_exact(rides: Metric) -> None:
    rows = merge(rides, read(rides, heads=(head(ONE),)), HOURLY)
    assert [False, True] == exact(rows)


def test_every_hour_of_a_row_needs_a_head(rides: Metric) -> None:
    rows = merge(rides, read(rides), Buckets(NOON - HOUR_MS, TWO, None))
    assert [False] == exact(rows)


def test_a_row_needs_the_heads_of_the_hours_that_it_touches_only_in_part(rides: Metric) -> None:
    around_one = Buckets(NOON + 59 * MINUTE, ONE + MINUTE, None)
    assert [False] == exact(merge(rides, read(rides, heads=(head(ONE),)), around_one))


def test_a_row_over_parts_of_hours_that_have_heads_is_exact(rides: Metric) -> None:
    rows = merge(rides, read(rides), Buckets(NOON + 59 * MINUTE, ONE + MINUTE, None))
    assert [True] == exact(rows)


def test_a_row_with_a_partial_is_not_exact_though_none_of_its_measures_is_a_sketch(
    rides: Metric,
) -> None:
    """It may count a repeated event twice."""
    late = [partial(rides, NOON, ["Oslo", 1], [(7, None)])]
    (row,) = merge(rides, reading(BOTH, [], late), Buckets(NOON, ONE, None))
    assert [True] * 5 == [estimate.is_exact for estimate in row.estimates]
    assert not row.is_exact


def test_a_row_that_ends_after_the_watermark_is_not_exact(rides: Metric) -> None:
    rows = merge(rides, read(rides, progresses=(progress(TWO - 1),)), HOURLY)
    assert [True, False] == exact(rows)


def test_the_slowest_partition_decides(rides: Metric) -> None:
    both = (progress(TWO), progress(NOON, partition=1))
    assert [False, False] == exact(merge(rides, read(rides, progresses=both), HOURLY))


def test_without_a_worker_nothing_is_exact(rides: Metric) -> None:
    """The archive's open segment may hold anything."""
    assert [False, False] == exact(merge(rides, read(rides, progresses=()), HOURLY))


def test_a_partition_that_only_batch_knows_leaves_nothing_exact(rides: Metric) -> None:
    heads = (head(NOON), Head(ONE, 1, Coverage({0: 3, 1: 1})))
    assert [False, False] == exact(merge(rides, read(rides, heads=heads), HOURLY))


@pytest.mark.parametrize("reason", ["late", "future"])
def test_unfolded_events_widen_their_hour(rides: Metric, reason: str) -> None:
    missed = (unfolded(rides, NOON, reason, 4),)
    rows = merge(rides, read(rides, missed=missed), HOURLY)
    assert [Estimate(1, 1, 5), Estimate.exact(1)] == counts(rows)
    assert [False, True] == exact(rows)


@pytest.mark.parametrize("reason", ["repeat", "dead:malformed"])
def test_other_reasons_change_nothing(rides: Metric, reason: str) -> None:
    missed = (unfolded(rides, NOON, reason, 4),)
    rows = merge(rides, read(rides, missed=missed), HOURLY)
    assert [Estimate.exact(1)] * 2 == counts(rows)
    assert [True, True] == exact(rows)


def test_unfolded_events_widen_every_measure_by_its_own_rule(rides: Metric) -> None:
    missed = (unfolded(rides, NOON, "late", 4),)
    first = merge(rides, read(rides, missed=missed), HOURLY)[0]
    expected = [
        agg.widen(Estimate.exact(value), 4)
        for agg, value in zip(rides.aggregates, [1, 5, 5.0, 5, 1], strict=True)
    ]
    assert expected == list(first.estimates)


def test_unfolded_events_of_all_segments_and_hours_add_up(rides: Metric) -> None:
    missed = (
        unfolded(rides, NOON, "late", 4, segment=3),
        unfolded(rides, NOON, "late", 2, segment=4),
        unfolded(rides, ONE, "future", 1),
    )
    rows = merge(rides, read(rides, missed=missed), Buckets(NOON, TWO, None))
    assert [Estimate(2, 2, 9)] == counts(rows)


def test_an_hour_of_unfolded_events_widens_each_minute_of_it(rides: Metric) -> None:
    """The count is kept by hour, so each minute could hold all of them."""
    missed = (unfolded(rides, NOON, "late", 4),)
    minutely = Buckets(NOON, TWO, MINUTE)
    assert [Estimate(1, 1, 5), Estimate.exact(1)] == counts(
        merge(rides, read(rides, missed=missed), minutely)
    )


def test_unfolded_events_of_a_range_that_begins_within_their_hour_count(rides: Metric) -> None:
    missed = (unfolded(rides, NOON, "late", 4),)
    rows = merge(rides, read(rides, missed=missed), Buckets(NOON + 59 * MINUTE, TWO, None))
    assert [Estimate(1, 1, 5)] == counts(rows)


def test_a_gap_flags_and_widens_all_rows_for_its_events_may_be_of_any_time(rides: Metric) -> None:
    gaps = (gap(350, 400),)
    rows = merge(rides, read(rides, gaps=gaps), HOURLY)
    assert [True, True] == [row.has_gap for row in rows]
    assert [Estimate(1, 1, 51)] * 2 == counts(rows)
    assert [False, False] == exact(rows)


def test_a_gap_is_healed_where_the_head_covers_its_last_segment(rides: Metric) -> None:
    gaps = (gap(350, 400),)
    rows = merge(rides, read(rides, heads=(head(NOON, 4), head(ONE, 3)), gaps=gaps), HOURLY)
    assert [False, True] == [row.has_gap for row in rows]
    assert [True, False] == exact(rows)


def test_a_gap_is_healed_segment_by_segment(rides: Metric) -> None:
    gaps = (gap(250, 500),)
    rows = merge(rides, read(rides, heads=(head(NOON, 4), head(ONE, 5)), gaps=gaps), HOURLY)
    assert [Estimate(1, 1, 101), Estimate.exact(1)] == counts(rows)


def test_a_row_over_healed_and_open_hours_allows_for_the_open_ones(rides: Metric) -> None:
    gaps = (gap(300, 400),)
    heads = (head(NOON, 4), head(ONE, 3))
    rows = merge(rides, read(rides, heads=heads, gaps=gaps), Buckets(NOON, TWO, None))
    assert [Estimate(2, 2, 102)] == counts(rows)
    assert [True] == [row.has_gap for row in rows]


def test_a_gap_is_open_where_there_is_no_head(rides: Metric) -> None:
    gaps = (gap(100, 200),)
    rows = merge(rides, read(rides, heads=(head(ONE),), gaps=gaps), HOURLY)
    assert [True, False] == [row.has_gap for row in rows]


def test_a_gap_of_another_partition_is_not_healed_by_this_one(rides: Metric) -> None:
    gaps = (Gap("trips", 1, 100, 200),)
    both = (progress(TWO), progress(TWO, partition=1))
    rows = merge(rides, read(rides, gaps=gaps, progresses=both), HOURLY)
    assert [True, True] == [row.has_gap for row in rows]


def test_gaps_and_unfolded_events_add_up(rides: Metric) -> None:
    gaps = (gap(350, 400), gap(450, 500))
    missed = (unfolded(rides, NOON, "late", 4),)
    rows = merge(rides, read(rides, missed=missed, gaps=gaps), HOURLY)
    assert Estimate(1, 1, 105) == counts(rows)[0]


def test_a_gap_of_unknown_times_is_judged_without_walking_through_them(rides: Metric) -> None:
    forever = Buckets(-(2**55), 2**55, None)
    gaps = (gap(350, 400),)
    assert [True] == [row.has_gap for row in merge(rides, read(rides, gaps=gaps), forever)]


def test_the_first_hour_of_1970_is_never_exact(rides: Metric) -> None:
    """Readings leave out what was not folded of it."""
    totals = [total(rides, hour, ["Oslo", 1], [(5, "anna")]) for hour in (-HOUR_MS, 0, HOUR_MS)]
    heads = [head(hour) for hour in (-HOUR_MS, 0, HOUR_MS)]
    rows = merge(rides, reading(heads, totals), Buckets(-HOUR_MS, 2 * HOUR_MS, HOUR_MS))
    assert [True, False, True] == exact(rows)
