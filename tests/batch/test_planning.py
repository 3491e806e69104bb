"""What a replay decides, on literal manifests."""

import pytest

from fastdata.archive import ObjectEntry
from fastdata.batch.plan import (
    Contents,
    Group,
    Hour,
    choose_spans,
    index_hours,
    make_groups,
    plan_spans,
)
from fastdata.coordinates.instants import DAY_MS, HOUR_MS, parse_instant
from fastdata.coordinates.segments import Coverage
from fastdata.errors import ReplayError
from fastdata.store.protocol import Head

ONE, TWO, THREE = HOUR_MS, 2 * HOUR_MS, 3 * HOUR_MS
NOW = Coverage({0: 3, 1: 2})
HOURS = {ONE: Hour(7, {0: 30, 1: 10}, [0, 1]), TWO: Hour(5, {0: 10, 1: 20}, [0, 2])}
HELD = Contents(NOW, (), 10, HOURS)


def entry(first: int, hours: dict[int, int], partition: int = 0) -> ObjectEntry:
    count = sum(hours.values())
    return ObjectEntry("", partition, first, first + count, count, 0, "", 1, "", hours, 0)


def head(coverage: dict[int, int], version: int = 1) -> Head:
    return Head(ONE, version, Coverage(coverage))


def test_an_hour_with_events_and_no_head_is_computed() -> None:
    assert plan_spans([ONE], HELD, {}).recompute == (ONE,)


def test_an_hour_with_neither_events_nor_a_head_gets_an_empty_one() -> None:
    assert plan_spans([THREE], HELD, {}).empty == (THREE,)


def test_an_hour_is_computed_when_one_partition_has_new_events_of_it() -> None:
    heads = {ONE: head({0: 2, 1: 2})}

    assert plan_spans([ONE], HELD, heads).recompute == (ONE,)


def test_an_hour_is_relabelled_when_the_new_segments_hold_none_of_it() -> None:
    heads = {TWO: head({0: 1, 1: 2})}

    assert plan_spans([TWO], HELD, heads).relabel == (TWO,)


def test_an_hour_without_events_and_with_a_head_behind_is_relabelled() -> None:
    heads = {THREE: head({0: 1})}

    assert plan_spans([THREE], HELD, heads).relabel == (THREE,)


def test_an_hour_at_the_coverage_is_left_as_it_is() -> None:
    plan = plan_spans([ONE], HELD, {ONE: head({0: 3, 1: 2})})

    assert (plan.ahead, plan.moves) == ((), 0)


@pytest.mark.parametrize("coverage", [{0: 4, 1: 2}, {0: 4, 1: 1}, {0: 3, 1: 2, 2: 1}])
@pytest.mark.parametrize("force", [False, True])
def test_readers_never_get_a_smaller_coverage_of_any_partition(
    coverage: dict[int, int], force: bool
) -> None:
    plan = plan_spans([ONE], HELD, {ONE: head(coverage)}, force=force)

    assert (plan.ahead, plan.moves) == ((ONE,), 0)


def test_force_computes_what_is_up_to_date_and_empties_what_has_no_events() -> None:
    heads = {ONE: head({0: 3, 1: 2}), THREE: head({0: 3, 1: 2})}

    plan = plan_spans([ONE, THREE], HELD, heads, force=True)

    assert (plan.recompute, plan.empty) == ((ONE,), (THREE,))


def test_force_leaves_what_its_own_run_has_computed() -> None:
    heads = {ONE: head({0: 3, 1: 2}, version=9)}

    plan = plan_spans([ONE], HELD, heads, force=True, forced_version=9)

    assert (plan.ahead, plan.moves) == ((), 0)


def test_hours_add_up_over_objects_and_know_where_they_end() -> None:
    objects = [
        entry(0, {ONE: 2, TWO: 1}),
        entry(10, {ONE: 3}),
        entry(0, {TWO: 4}, partition=1),
    ]

    assert index_hours(objects) == {
        ONE: Hour(5, {0: 13}, [0, 1]),
        TWO: Hour(5, {0: 3, 1: 4}, [0, 2]),
    }


def test_the_default_range_is_whole_days_from_the_first_to_the_last_event() -> None:
    spans = choose_spans({DAY_MS + TWO: HOURS[ONE], 3 * DAY_MS: HOURS[TWO]}, None, None)

    assert list(spans) == list(range(DAY_MS, 4 * DAY_MS, HOUR_MS))


def test_a_range_is_widened_to_the_hour_also_where_nothing_is_archived() -> None:
    assert list(choose_spans(HOURS, TWO + 1, THREE + 1)) == [TWO, THREE]


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(ReplayError, match="the end must be after the start"):
        choose_spans(HOURS, TWO, ONE)


def test_there_are_no_spans_while_nothing_is_archived() -> None:
    assert list(choose_spans({}, ONE, TWO)) == []


def test_in_a_range_of_many_years_only_days_with_events_get_heads() -> None:
    spans = choose_spans({ONE: HOURS[ONE], 9_000 * DAY_MS: HOURS[TWO]}, None, None)

    assert list(spans) == [
        *range(0, DAY_MS, HOUR_MS),
        *range(9_000 * DAY_MS, 9_001 * DAY_MS, HOUR_MS),
    ]


def test_a_mistake_in_the_year_9999_takes_no_head_from_a_day_without_events() -> None:
    days, mistake = (0, 3 * DAY_MS, 369 * DAY_MS), parse_instant("9999-12-31")
    hours = {day + ONE: HOURS[ONE] for day in (*days, mistake)}

    assert list(choose_spans(hours, None, None)) == [
        *range(0, 370 * DAY_MS, HOUR_MS),
        *range(mistake, mistake + DAY_MS, HOUR_MS),
    ]


def test_in_a_range_of_very_many_days_only_those_with_events_get_heads() -> None:
    days = [366 * DAY_MS * year for year in range(20)]

    spans = list(choose_spans(dict.fromkeys(days, HOURS[ONE]), None, None))

    assert spans == [hour for day in days for hour in range(day, day + DAY_MS, HOUR_MS)]


def test_groups_stay_below_the_bound_and_name_each_object_once() -> None:
    hours = {
        ONE: Hour(4, {0: 0}, [0]),
        TWO: Hour(5, {0: 1}, [0, 1]),
        THREE: Hour(2, {0: 1}, [1]),
    }

    groups = make_groups([THREE, ONE, TWO], hours, 9)

    assert groups == [Group({ONE: 4, TWO: 5}, [0, 1]), Group({THREE: 2}, [1])]


def test_a_span_larger_than_the_bound_is_a_group_of_its_own() -> None:
    hours = {ONE: Hour(4, {}, [0]), TWO: Hour(50, {}, [0]), THREE: Hour(4, {}, [0])}

    groups = make_groups(hours, hours, 9)

    assert [dict(group.spans) for group in groups] == [{ONE: 4}, {TWO: 50}, {THREE: 4}]
