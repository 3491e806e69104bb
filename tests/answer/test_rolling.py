"""Rows of rolling days, and rows whose totals are ready, are what one bucket of them would be."""

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from fastdata import Metric
from fastdata.answer.merge import Buckets, ReadyRows, Row
from fastdata.answer.merging import merged
from fastdata.coordinates.calendar import Calendar, Grain
from fastdata.coordinates.instants import DAY_MS, HOUR_MS, parse_instant
from fastdata.measures.presented import dump_estimates
from fastdata.store.protocol import Reading, Total
from tests.answer.trips import MINUTE, declare, gap, head, merge, partial, progress, total, unfolded

START = parse_instant("2025-03-20")
DAYS = 20
END = START + DAYS * DAY_MS
KOLKATA = Calendar("Asia/Kolkata")
BERLIN = Calendar("Europe/Berlin")


@pytest.fixture
def rides(tmp_path: Path) -> Metric:
    return declare(tmp_path)


def random_reading(metric: Metric, rng: random.Random) -> Reading:
    """Some minutes of both layers, with holes, late events and a gap."""
    minutes = [START + rng.randrange(DAYS * 24 * 60) * MINUTE for _ in range(80)]
    dims = [[rng.choice(("Bern", "Oslo", None)), rng.randrange(2)] for _ in minutes]
    trips = [[(rng.randrange(9), f"rider {rng.randrange(9)}")] for _ in minutes]
    cells = list(zip(minutes, dims, trips, strict=True))
    hours = range(START - DAY_MS, END + DAY_MS, HOUR_MS)
    is_old = rng.random() < 0.5
    return Reading(
        {hour: head(hour) for hour in hours if rng.random() < 0.999},
        [total(metric, *cell) for cell in cells[: 80 if is_old else 60]],
        [] if is_old else [partial(metric, *cell) for cell in cells[60:]],
        [unfolded(metric, rng.choice(hours), "late", 2)],
        [gap(350, 360)],
        [progress(START + rng.randrange(2 * DAYS * 24) * HOUR_MS)],
    )


def buckets_of(calendar: Calendar, grain: Grain) -> Buckets:
    start, end = START + 5 * DAY_MS + 90 * MINUTE, END - 30 * MINUTE
    buckets = Buckets.of_calendar(calendar, grain, start, end, (START, END))
    assert buckets is not None
    return buckets


def one_by_one(metric: Metric, reading: Reading, buckets: Buckets) -> list[Row]:
    return [
        row
        for start, end in buckets.rows()
        for row in merge(metric, reading, Buckets(start, end, None), ["city"])
    ]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("calendar", [KOLKATA, BERLIN], ids=lambda calendar: calendar.zone)
@pytest.mark.parametrize("grain", ["day", "week", "2d", "3d", "7d", "30d"])
def test_each_row_is_what_one_bucket_of_its_window_is(
    rides: Metric, calendar: Calendar, grain: str, seed: int
) -> None:
    reading = random_reading(rides, random.Random(seed))
    buckets = buckets_of(calendar, Grain.parse(grain))

    rows = merge(rides, reading, buckets, ["city"])

    assert rows == one_by_one(rides, reading, buckets)
    assert rows


def test_rolling_rows_are_exact_where_sets_do_not_fit_a_stored_state(rides: Metric) -> None:
    """A set of more than 64 KiB is whole in memory, and would not be once it is stored."""
    crowds = [[(1, f"{day} of {n}") for n in range(2_500)] for day in range(7)]
    days = [START + day * DAY_MS for day in range(8)]
    reading = Reading(
        {hour: head(hour) for hour in range(START, days[-1], HOUR_MS)},
        [total(rides, day, ["Oslo", 1], crowd) for day, crowd in zip(days, crowds, strict=False)],
        [], [], [], [progress(END)],
    )  # fmt: skip
    buckets = Buckets(START, days[-1], None, tuple(days), rolling=5)

    rows = merge(rides, reading, buckets)

    assert [(12_500, True)] * 3 == [(row.estimates[4].value, row.is_exact) for row in rows]


ByDims = dict[str, bytes]


def made_ready(
    metric: Metric, reading: Reading, windows: Sequence[tuple[int, int]]
) -> tuple[Reading, dict[tuple[int, int], ByDims]]:
    """The states of whole windows, and the reading without totals in any of them."""
    ready = {}
    for start, end in windows:
        texts: dict[str, list[bytes]] = {}
        for one in reading.totals:
            if start <= one.window < end:
                texts.setdefault(one.dims, []).append(one.state)
        ready[start, end] = {t: metric.dump(merged(metric, blobs)) for t, blobs in texts.items()}
    rest = [t for t in reading.totals if not any(s <= t.window < e for s, e in windows)]
    return replace(reading, totals=rest), ready


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("grain", ["day", "week"])
def test_ready_states_take_the_place_of_totals(rides: Metric, grain: str, seed: int) -> None:
    rng = random.Random(seed)
    reading = random_reading(rides, rng)
    buckets = buckets_of(BERLIN, Grain.parse(grain))
    windows = rng.sample(list(buckets.rows()), 2)

    rest, ready = made_ready(rides, reading, windows)

    assert len(rest.totals) < len(reading.totals)
    rows = merge(rides, reading, buckets, ["city"])
    assert merge(rides, rest, buckets, ["city"], ReadyRows(ready)) == rows
    assert merge(rides, reading, buckets, ["city"], ReadyRows(ready)) == rows


@pytest.mark.parametrize("seed", range(8))
def test_ready_estimates_of_rolling_rows_and_states_of_their_days(rides: Metric, seed: int) -> None:
    rng = random.Random(seed)
    reading = random_reading(rides, rng)
    buckets = buckets_of(BERLIN, Grain("day", 7))
    rows = merge(rides, reading, buckets, rides.by)
    windows = list(buckets.rows())
    _, states = made_ready(rides, reading, windows)
    estimates = {
        window: {
            dims: dump_estimates(rides.estimate(rides.load(state)))
            for dims, state in by_dims.items()
            if rng.random() < 0.5
        }
        for window, by_dims in states.items()
    }

    # A reading has no days of which more is stored than a row has.
    edges = BERLIN.windows(Grain("day"), buckets.start, buckets.end)
    days = [(start, min(end, buckets.end)) for start, end in edges]
    rest, daily = made_ready(rides, reading, days)

    assert not any(buckets.start <= one.window < buckets.end for one in rest.totals)
    of_days = {start: by_dims for (start, _), by_dims in daily.items()}
    assert merge(rides, rest, buckets, rides.by, ReadyRows(estimates, of_days)) == rows
    some = {window: estimates[window] for window in rng.sample(windows, 3)}
    assert merge(rides, reading, buckets, rides.by, ReadyRows(some)) == rows


@pytest.mark.parametrize("grain", ["week", "7d"])
def test_states_of_whole_days_can_stand_in_a_reading(rides: Metric, grain: str) -> None:
    reading = random_reading(rides, random.Random(1))
    buckets = buckets_of(BERLIN, Grain.parse(grain))
    days = [*BERLIN.windows(Grain("day"), buckets.start, buckets.end)][1:-1]

    rest, ready = made_ready(rides, reading, days)
    totals = [
        Total(start, dims, state)
        for (start, _), states in ready.items()
        for dims, state in states.items()
    ]

    daily = replace(rest, totals=[*rest.totals, *totals])
    assert merge(rides, daily, buckets, ["city"]) == merge(rides, reading, buckets, ["city"])
