"""Totals of whole hours: the same as their minutes, where they are worth their room."""

import random
from pathlib import Path

from fastdata import Count, Metric, Uniques
from fastdata.batch.hours import hour_totals
from fastdata.coordinates.dimensions import dump_dims, tip_dims
from fastdata.coordinates.instants import MINUTE_MS
from fastdata.declare.metric import Measure
from tests.answer.trips import NO_FIELDS, NOON, declare, declare_source, total

Row = tuple[int, str, bytes]


def minutes(metric: Metric, dims: list[object], *, values: int = 1, seed: int = 0) -> list[Row]:
    """A total of each minute of the hour, each of its own riders."""
    rng, rows = random.Random(seed), []
    for n in range(60):
        states = metric.zero(exact=True)
        for value in range(values):
            rider = f"rider-{n}-{value}"
            metric.add(states, NO_FIELDS | {"km": rng.randrange(100), "rider": rider})
        text = dump_dims(dims)  # type: ignore[arg-type]
        rows.append((NOON + n * MINUTE_MS, text, metric.dump(states)))
    return rows


def merged(metric: Metric, rows: list[Row]) -> bytes:
    states = metric.load(rows[0][2])
    for row in rows[1:]:
        metric.merge(states, metric.load(row[2]))
    return metric.dump(states)


def of(folder: Path, measures: dict[str, Measure], **options: object) -> Metric:
    by = ["city"]
    return Metric("rides", declare_source(folder), by=by, measures=measures, **options)  # type: ignore[arg-type]


def test_an_hour_is_what_its_minutes_merge_to_by_dimensions(tmp_path: Path) -> None:
    metric = declare(tmp_path)
    oslo, rome = minutes(metric, ["Oslo", 1]), minutes(metric, ["Rome", 2], seed=1)

    assert hour_totals(metric, NOON, sorted([*rome, *oslo])) == [
        (NOON, '["Oslo",1]', merged(metric, oslo)),
        (NOON, '["Rome",2]', merged(metric, rome)),
    ]


def test_tips_are_not_merged(tmp_path: Path) -> None:
    metric = declare(tmp_path)
    rows = minutes(metric, ["Oslo", 1])
    tips = [(window, tip_dims(dims, 3), state) for window, dims, state in rows]

    (hour,) = hour_totals(metric, NOON, sorted([*tips, *rows]))

    assert hour == (NOON, '["Oslo",1]', merged(metric, rows))
    assert hour_totals(metric, NOON, tips) == []


def test_what_comes_once_is_as_it_was(tmp_path: Path) -> None:
    metric = declare(tmp_path)
    once = total(metric, NOON + MINUTE_MS, ["Rome", 2], [(5, "anna")])

    hours = hour_totals(metric, NOON, sorted([*minutes(metric, ["Oslo", 1]), once]))

    assert (NOON, once.dims, once.state) in hours


def test_there_is_none_where_it_would_be_more_than_a_sixth(tmp_path: Path) -> None:
    metric = of(tmp_path, {"n": Count()})
    rows = [
        (NOON + n % 60 * MINUTE_MS, dump_dims([f"{n % 90}"]), metric.dump([1])) for n in range(539)
    ]

    assert hour_totals(metric, NOON, rows) == []
    one_more = (NOON + 59 * MINUTE_MS, '["89"]', metric.dump([1]))
    assert len(hour_totals(metric, NOON, [*rows, one_more])) == 90


def test_there_is_none_of_few_minutes(tmp_path: Path) -> None:
    metric = of(tmp_path, {"n": Count()})
    rows = minutes(metric, ["Oslo"])

    assert hour_totals(metric, NOON, rows[:47]) == []
    assert len(hour_totals(metric, NOON, rows[:48])) == 1


def sampled(metric: Metric, riders: int, each: int) -> list[Row]:
    """A total of each of 48 minutes, of some of the same riders."""
    rng, rows = random.Random(1), []
    for n in range(48):
        states = metric.zero(exact=True)
        for rider in rng.sample(range(riders), each):
            metric.add(states, NO_FIELDS | {"rider": f"{rider:010}"})
        rows.append((NOON + n * MINUTE_MS, '["Oslo"]', metric.dump(states)))
    return rows


def test_there_is_none_where_merging_hours_would_be_less_exact(tmp_path: Path) -> None:
    metric = of(tmp_path, {"riders": Uniques("rider")})
    few, many = sampled(metric, 5_000, 4_000), sampled(metric, 9_000, 4_000)

    assert all(metric.estimate(metric.load(state))[0].is_exact for _, _, state in many)
    assert hour_totals(metric, NOON, many) == []
    assert hour_totals(metric, NOON, few) == [(NOON, '["Oslo"]', merged(metric, few))]


def test_each_grouping_set_is_judged_by_itself(tmp_path: Path) -> None:
    metric = of(tmp_path, {"n": Count()}, grouping_sets=[[], ["city"]])
    of_all = minutes(metric, [0])
    rare = [(window, dump_dims([1, f"c{n}"]), s) for n, (window, _, s) in enumerate(of_all)]

    assert hour_totals(metric, NOON, sorted([*of_all, *rare])) == [
        (NOON, "[0]", merged(metric, of_all))
    ]


def test_there_is_none_of_a_state_that_a_store_cannot_hold(tmp_path: Path) -> None:
    metric = of(tmp_path, {f"of{n}": Uniques("rider") for n in range(20)})

    assert hour_totals(metric, NOON, sampled(metric, 5_600, 600)) == []
