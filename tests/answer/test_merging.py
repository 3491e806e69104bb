"""Which rows a reading gives, and what they hold."""

from pathlib import Path

import pytest

from fastdata import Count, Estimate, Metric, Rate, Ratio, Sum
from fastdata.answer.merge import Buckets, Doubts, fresh_until, held_range, read_until
from fastdata.coordinates.instants import DAY_MS, HOUR_MS, parse_instant
from fastdata.errors import CorruptStateError
from fastdata.store.protocol import NEVER
from tests.answer.trips import (
    MINUTE,
    NOON,
    ONE,
    TWO,
    declare,
    head,
    merge,
    partial,
    progress,
    reading,
    total,
    unfolded,
)

NOON_TO_TWO = Buckets(NOON, TWO, None)
ANNA, BEN, CLEO = (5, "anna"), (7, "ben"), (2, "cleo")


@pytest.fixture
def rides(tmp_path: Path) -> Metric:
    return declare(tmp_path)


def test_nothing_stored_gives_no_row(rides: Metric) -> None:
    assert [] == merge(rides, reading(heads=[head(NOON), head(ONE)]), NOON_TO_TWO)


def test_derived_measures_are_of_the_row_and_of_its_length(tmp_path: Path) -> None:
    rides = Metric(
        "rides",
        declare(tmp_path).source,
        measures={"speed": Rate("n"), "n": Count(), "km": Sum("km"), "each": Ratio("km", "n")},
    )
    totals = [total(rides, NOON + 59 * MINUTE, [], [ANNA, BEN]), total(rides, ONE, [], [CLEO])]
    buckets = Buckets(NOON + 58 * MINUTE, ONE + MINUTE, HOUR_MS)
    rows = merge(rides, reading([head(NOON), head(ONE)], totals), buckets)
    assert [
        (Estimate.exact(1 / 60), Estimate.exact(2), Estimate.exact(12), Estimate.exact(6.0)),
        (Estimate.exact(1 / 60), Estimate.exact(1), Estimate.exact(2), Estimate.exact(2.0)),
    ] == [row.estimates for row in rows]
    assert [True, True] == [row.is_exact for row in rows]


def test_missing_events_widen_derived_measures_by_their_parts(tmp_path: Path) -> None:
    rides = Metric(
        "rides",
        declare(tmp_path).source,
        measures={
            "n": Count(),
            "known": Count("km"),
            "share": Ratio("known", "n"),
            "speed": Rate("n"),
        },
    )
    stored = reading(
        [head(NOON)],
        [total(rides, NOON, [], [ANNA, (None, None)])],
        unfolded=[unfolded(rides, NOON, "late", 2)],
    )
    (row,) = merge(rides, stored, Buckets(NOON, NOON + MINUTE, None))
    assert (
        Estimate(2, 2, 4),
        Estimate(1, 1, 3),
        Estimate(0.5, 0.25, 1.5),
        Estimate(2 / 60, 2 / 60, 4 / 60),
    ) == row.estimates
    assert not row.is_exact


def test_totals_of_all_windows_and_dimensions_merge_into_one_row(rides: Metric) -> None:
    totals = [
        total(rides, NOON, ["Oslo", 1], [ANNA, BEN]),
        total(rides, ONE, ["Bern", 2], [ANNA, (None, None)]),
    ]
    (row,) = merge(rides, reading([head(NOON), head(ONE)], totals), NOON_TO_TWO)
    assert (NOON, TWO, ()) == (row.start, row.end, row.dims)
    assert (
        Estimate.exact(4),
        Estimate.exact(17),
        Estimate.exact(17 / 3),
        Estimate.exact(7),
        Estimate.exact(2),
    ) == row.estimates
    assert row.is_exact
    assert not row.has_gap


def test_a_partial_of_a_segment_not_covered_adds_to_the_total(rides: Metric) -> None:
    """A late event, after batch has covered its hour."""
    totals = [total(rides, NOON, ["Oslo", 1], [ANNA, BEN])]
    late = [partial(rides, NOON, ["Oslo", 1], [CLEO])]
    (row,) = merge(rides, reading([head(NOON), head(ONE)], totals, late), NOON_TO_TWO)
    assert [3, 14, 14 / 3, 7, 3] == [e.value for e in row.estimates]
    assert not row.is_exact


def test_only_rows_with_a_partial_lose_exactness(rides: Metric) -> None:
    totals = [total(rides, NOON, [city, 1], [ANNA]) for city in ("Bern", "Oslo")]
    late = [partial(rides, NOON, ["Oslo", 1], [BEN])]
    rows = merge(rides, reading([head(NOON), head(ONE)], totals, late), NOON_TO_TWO, ["city"])
    assert [("Bern",), ("Oslo",)] == [row.dims for row in rows]
    assert [True, False] == [row.is_exact for row in rows]


def test_partials_of_segments_and_partitions_merge(rides: Metric) -> None:
    partials = [
        partial(rides, NOON, ["Oslo", 1], [ANNA], segment=3),
        partial(rides, NOON, ["Oslo", 1], [BEN], segment=4),
        partial(rides, NOON, ["Oslo", 1], [CLEO])._replace(partition=1),
    ]
    (row,) = merge(rides, reading(partials=partials), NOON_TO_TWO)
    assert [3, 14] == [e.value for e in row.estimates[:2]]


def test_mean_and_max_of_nothing_are_null(rides: Metric) -> None:
    totals = [total(rides, NOON, ["Oslo", 1], [(None, None)])]
    (row,) = merge(rides, reading([head(NOON), head(ONE)], totals), NOON_TO_TWO)
    assert [1, 0, None, None, 0] == [e.value for e in row.estimates]
    assert row.is_exact


def test_chosen_dimensions_are_kept_in_the_order_asked_for(rides: Metric) -> None:
    totals = [total(rides, NOON, ["Oslo", 1], [ANNA]), total(rides, ONE, ["Oslo", 2], [BEN])]
    rows = merge(rides, reading(totals=totals), NOON_TO_TWO, ["line", "city"])
    assert [(1, "Oslo"), (2, "Oslo")] == [row.dims for row in rows]


def test_null_is_a_value_of_its_own_and_comes_first(rides: Metric) -> None:
    totals = [
        total(rides, NOON, ["", 1], [ANNA]),
        total(rides, NOON, [None, 1], [BEN]),
        total(rides, NOON, ["null", 1], [CLEO]),
    ]
    rows = merge(rides, reading(totals=totals), NOON_TO_TWO, ["city"])
    assert [((None,), 7), (("",), 5), (("null",), 2)] == [
        (row.dims, row.estimates[1].value) for row in rows
    ]


def test_true_and_one_are_two_values(rides: Metric) -> None:
    totals = [total(rides, NOON, ["Oslo", dim], [ANNA]) for dim in (1, True, "1")]
    rows = merge(rides, reading(totals=totals), NOON_TO_TWO, ["line"])
    assert {"1", "True", "'1'"} == {repr(row.dims[0]) for row in rows}


def test_rows_are_ordered_by_time_and_dimensions(rides: Metric) -> None:
    totals = [total(rides, w, [c, 1], [ANNA]) for w in (ONE, NOON) for c in ("Oslo", "Bern")]
    rows = merge(rides, reading(totals=totals), Buckets(NOON, TWO, HOUR_MS), ["city"])
    assert [(NOON, "Bern"), (NOON, "Oslo"), (ONE, "Bern"), (ONE, "Oslo")] == [
        (row.start, row.dims[0]) for row in rows
    ]


def test_buckets_are_cut_to_the_range(rides: Metric) -> None:
    start, end = NOON + 30 * MINUTE, ONE + 10 * MINUTE
    windows = [NOON + 29 * MINUTE, start, ONE, end - MINUTE, end]
    totals = [total(rides, window, ["Oslo", 1], [ANNA]) for window in windows]
    rows = merge(rides, reading(totals=totals), Buckets(start, end, HOUR_MS))
    assert [(start, ONE, 1), (ONE, end, 2)] == [
        (row.start, row.end, row.estimates[0].value) for row in rows
    ]


def test_buckets_are_aligned_to_1970_also_before_it(rides: Metric) -> None:
    start, end = parse_instant("1969-12-30"), parse_instant("1970-01-02")
    totals = [total(rides, -1 * MINUTE, ["Oslo", 1], [ANNA]), total(rides, 0, ["Oslo", 1], [BEN])]
    rows = merge(rides, reading(totals=totals), Buckets(start, end, DAY_MS))
    assert [(-DAY_MS, 0, 5), (0, DAY_MS, 7)] == [
        (row.start, row.end, row.estimates[1].value) for row in rows
    ]


def test_a_bucket_of_seven_minutes_may_cross_an_hour(rides: Metric) -> None:
    start = parse_instant("1970-01-01")
    windows = [56 * MINUTE, 60 * MINUTE, 63 * MINUTE]
    totals = [total(rides, window, ["Oslo", 1], [ANNA]) for window in windows]
    rows = merge(rides, reading(totals=totals), Buckets(start, start + DAY_MS, 7 * MINUTE))
    assert [(56 * MINUTE, 2), (63 * MINUTE, 1)] == [
        (row.start, row.estimates[0].value) for row in rows
    ]


def test_a_sketch_over_many_values_is_not_exact_though_nothing_is_missing(rides: Metric) -> None:
    crowd = [(1, f"rider {n}") for n in range(20_000)]  # too many for a set: batch keeps the number
    hours = [total(rides, hour, ["Oslo", 1], crowd) for hour in (NOON, ONE)]
    heads = [head(NOON), head(ONE)]
    each = merge(rides, reading(heads, hours), Buckets(NOON, TWO, HOUR_MS))
    assert [(20_000, True)] * 2 == [(row.estimates[4].value, row.is_exact) for row in each]
    (both,) = merge(rides, reading(heads, hours), NOON_TO_TWO)
    riders = both.estimates[4]
    assert isinstance(riders.lower, int)
    assert isinstance(riders.upper, int)
    assert riders.lower < 20_000 < riders.upper
    assert not riders.is_exact
    assert not both.is_exact
    assert Estimate.exact(40_000) == both.estimates[0]


def test_a_corrupt_state_is_an_error(rides: Metric) -> None:
    good = total(rides, NOON, ["Oslo", 1], [ANNA])
    bad = good._replace(window=ONE, state=good.state[:-1] + b"?")
    with pytest.raises(CorruptStateError):
        merge(rides, reading(totals=[good, bad]), NOON_TO_TWO)


def test_fresh_until_is_the_smallest_watermark() -> None:
    assert NOON == fresh_until(reading(progress=[progress(ONE, 0), progress(NOON, 1)]))


def test_fresh_until_is_unknown_when_nothing_was_folded() -> None:
    assert None is fresh_until(reading(progress=[]))


def test_fresh_until_is_unknown_when_a_partition_had_no_event_yet() -> None:
    none_yet = progress(-(1 << 62), partition=1)
    assert None is fresh_until(reading(progress=[progress(NOON), none_yet]))


def test_fresh_until_is_unknown_when_batch_knows_a_partition_that_was_never_folded() -> None:
    assert None is fresh_until(reading([head(NOON)], progress=[progress(NOON, 1)]))


def test_read_until_is_that_of_the_partition_that_is_least_far() -> None:
    far, near = progress(TWO, 0, read_until=ONE), progress(TWO, 1, read_until=NOON)
    assert NOON == read_until(reading(progress=[far, near]))


def test_read_until_is_unknown_when_it_is_of_one_partition() -> None:
    unknown = progress(TWO, 1, read_until=NEVER)
    assert None is read_until(reading(progress=[]))
    assert None is read_until(reading(progress=[progress(TWO), unknown]))
    assert None is read_until(reading([head(NOON)], progress=[progress(TWO, 1)]))


def test_a_row_says_exact_although_the_worker_is_behind_and_read_until_says_so(
    rides: Metric,
) -> None:
    # The worker has read what was written up to ONE. Behind it lies an event of noon, written
    # after: nobody has read it, and the watermark tells nothing of it.
    behind = progress(TWO, read_until=ONE)
    counted = reading([head(NOON)], [total(rides, NOON, ["Oslo", 1], [ANNA])], progress=[behind])
    (row,) = merge(rides, counted, Buckets(NOON, ONE, HOUR_MS))
    doubts = Doubts(rides, counted)
    assert (True, TWO, ONE) == (row.is_exact, doubts.fresh_until, doubts.read_until)


def test_the_held_range_is_that_of_heads_and_partials(rides: Metric) -> None:
    late = [partial(rides, NOON - 30 * MINUTE, ["Oslo", 1], [ANNA])]
    held = held_range(rides, reading([head(ONE)], partials=late), with_left_out=True)
    assert (NOON - HOUR_MS, TWO) == held


def test_the_held_range_has_the_hours_of_events_that_were_left_out(rides: Metric) -> None:
    left_out = [unfolded(rides, NOON, "late", 1), unfolded(rides, TWO, "future", 1)]
    of_nobody = [unfolded(rides, 0, "repeat", 1), unfolded(rides, TWO + HOUR_MS, "repeat", 1)]
    counted = reading([head(ONE)], unfolded=left_out + of_nobody)
    assert (NOON, TWO + HOUR_MS) == held_range(rides, counted, with_left_out=True)
    assert (ONE, TWO) == held_range(rides, counted, with_left_out=False)


def test_a_time_that_is_a_mistake_is_not_in_the_held_range(rides: Metric) -> None:
    year = 366 * 24 * HOUR_MS
    times = (TWO + year, TWO + year + HOUR_MS, parse_instant("9999-12-31T23:00Z"))
    counted = reading([head(ONE)], unfolded=[unfolded(rides, at, "future", 1) for at in times])
    assert (ONE, TWO + year + HOUR_MS) == held_range(rides, counted, with_left_out=True)


def test_an_empty_reading_holds_no_range(rides: Metric) -> None:
    assert None is held_range(rides, reading(), with_left_out=True)
