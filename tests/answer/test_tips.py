"""Tips against partials, on literal readings: the larger stamp wins, and what it costs is said."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from fastdata.answer.merge import Buckets
from fastdata.coordinates.calendar import Calendar, Grain
from fastdata.coordinates.dimensions import dump_dims, tip_dims
from fastdata.coordinates.instants import HOUR_MS
from fastdata.coordinates.segments import Coverage
from fastdata.declare.metric import Metric
from fastdata.store.protocol import Head, Partial, Progress, Total
from tests.answer.trips import (
    MINUTE,
    NOON,
    ONE,
    SIZE,
    TWO,
    Trip,
    declare,
    gap,
    merge,
    partial,
    reading,
    total,
    unfolded,
)

HOURLY = Buckets(NOON, ONE, HOUR_MS)
CLOSED = 3  # segments of partition 0
UNTIL = CLOSED * SIZE + 50
OSLO = ("Oslo", 1)


@pytest.fixture
def rides(tmp_path: Path) -> Metric:
    return declare(tmp_path)


def head(span: int = NOON, until: int = UNTIL, closed: int = CLOSED) -> Head:
    return Head(span, 1, Coverage({0: closed}, {0: until}, has_tips=True))


def tip(metric: Metric, trips: Sequence[Trip], partition: int = 0) -> Total:
    whole = total(metric, NOON, OSLO, trips)
    return whole._replace(dims=tip_dims(whole.dims, partition))


def stamped(metric: Metric, trips: Sequence[Trip], stamp: int) -> Partial:
    return partial(metric, NOON, OSLO, trips, segment=stamp // SIZE)._replace(stamp=stamp)


def test_a_tip_is_part_of_the_answer_and_exact(rides: Metric) -> None:
    closed = total(rides, NOON, OSLO, [(3, "ann"), (4, "bob")])

    (row,) = merge(rides, reading([head()], [closed, tip(rides, [(5, "ann")])]), HOURLY)

    assert [e.value for e in row.estimates] == [3, 12, 4.0, 5, 2]
    assert (row.is_exact, row.layer) == (True, "batch")


def test_a_tip_stands_in_place_of_a_partial_that_has_folded_no_more(rides: Metric) -> None:
    # The partial has a repeat, which the tip has not.
    older = stamped(rides, [(5, "ann"), (5, "ann")], UNTIL - 1)

    (row,) = merge(rides, reading([head()], [tip(rides, [(5, "ann")])], [older]), HOURLY)

    assert ([e.value for e in row.estimates][:2], row.is_exact) == ([1, 5], True)


def test_a_partial_that_has_folded_more_stands_in_place_of_the_tip(rides: Metric) -> None:
    newer = stamped(rides, [(5, "ann"), (6, "cem")], UNTIL)

    (row,) = merge(rides, reading([head()], [tip(rides, [(5, "ann")])], [newer]), HOURLY)

    assert [e.value for e in row.estimates][:2] == [2, 11]
    assert (row.is_exact, row.layer) == (False, "speed")


def test_tips_of_other_dimensions_partitions_and_windows_stand_beside(rides: Metric) -> None:
    newer = stamped(rides, [(6, "cem")], UNTIL)
    bergen = tip(rides, [(7, "dan")])._replace(dims=tip_dims(dump_dims(["Bergen", 1]), 0))
    later = tip(rides, [(8, "eve")])._replace(window=NOON + MINUTE)
    tips = [tip(rides, [(5, "ann")], partition=1), bergen, later]

    (row,) = merge(rides, reading([head()], tips, [newer]), HOURLY)

    assert row.estimates[1].value == 6 + 5 + 7 + 8


def test_a_partial_of_a_later_segment_stands_beside_the_tip(rides: Metric) -> None:
    later = stamped(rides, [(6, "cem")], (CLOSED + 1) * SIZE)

    (row,) = merge(rides, reading([head()], [tip(rides, [(5, "ann")])], [later]), HOURLY)

    assert (row.estimates[1].value, row.is_exact, row.layer) == (11, False, "both")


def test_what_was_left_out_before_the_tip_ends_is_in_it(rides: Metric) -> None:
    late = unfolded(rides, NOON, "late", 2)._replace(stamp=UNTIL - 1)

    (row,) = merge(rides, reading([head()], [tip(rides, [(5, "ann")])], [], [late]), HOURLY)

    assert (row.estimates[0].upper, row.is_exact) == (1, True)


def test_what_was_left_out_after_it_widens_the_row(rides: Metric) -> None:
    late = unfolded(rides, NOON, "late", 2)._replace(stamp=UNTIL)

    (row,) = merge(rides, reading([head()], [tip(rides, [(5, "ann")])], [], [late]), HOURLY)

    assert (row.estimates[0].upper, row.is_exact) == (3, False)


def test_where_a_tip_does_not_stand_what_was_left_out_is_missing_again(rides: Metric) -> None:
    late = unfolded(rides, NOON, "late", 2)._replace(stamp=UNTIL - 1)
    newer = stamped(rides, [(6, "cem")], UNTIL)

    (row,) = merge(
        rides, reading([head()], [tip(rides, [(5, "ann")] * 3)], [newer], [late]), HOURLY
    )

    assert (row.estimates[0].value, row.estimates[0].upper) == (1, 3)


def test_a_flush_that_is_under_way_may_not_have_said_what_it_left_out(rides: Metric) -> None:
    newer = stamped(rides, [(6, "cem")], UNTIL)
    folded = Progress("trips", 0, UNTIL - 4, TWO, TWO)
    read = reading([head()], [tip(rides, [(5, "ann")] * 3)], [newer], progress=[folded])

    (row,) = merge(rides, read, HOURLY)

    assert (row.estimates[0].value, row.estimates[0].upper) == (1, 5)


def test_a_gap_is_healed_by_what_was_read_of_the_open_segment(rides: Metric) -> None:
    skipped = gap(UNTIL - 20, UNTIL)

    (row,) = merge(rides, reading([head()], [tip(rides, [(5, "ann")])], gaps=[skipped]), HOURLY)

    assert (row.has_gap, row.is_exact) == (False, True)


def test_a_gap_is_open_again_where_the_tip_does_not_stand(rides: Metric) -> None:
    skipped = gap(UNTIL - 20, UNTIL)
    newer = stamped(rides, [(6, "cem")], UNTIL)

    (row,) = merge(
        rides, reading([head()], [tip(rides, [(5, "ann")])], [newer], gaps=[skipped]), HOURLY
    )

    assert (row.has_gap, row.is_exact, row.estimates[0].upper) == (True, False, 21)


def test_rolling_days_have_tips_too(rides: Metric) -> None:
    hours = [head(), head(ONE)]
    days = Buckets.of_calendar(
        Calendar("UTC"), Grain.parse("3d"), NOON - 12 * HOUR_MS, NOON + 36 * HOUR_MS, (NOON, TWO)
    )

    assert days is not None
    rows = merge(rides, reading(hours, [tip(rides, [(5, "ann")])]), days)

    assert [row.estimates[1].value for row in rows] == [5, 5]
