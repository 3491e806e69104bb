"""The flights of the demo are what everybody who learned R knows them to be."""

import csv
import os
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from fastdata.demo.flights import (
    PUBLISHED,
    Flight,
    month_start,
    read_flights,
)

REPOSITORY = Path(__file__).parents[2]
DATA = Path(os.environ.get("FASTDATA_TEST_DATA", REPOSITORY.parent / "shared" / "data"))


@pytest.fixture(scope="module")
def flights() -> list[Flight]:
    return list(read_flights())


def scheduled(flight: Flight) -> int:
    time = flight.record["scheduled_departure"]
    assert isinstance(time, int)
    return time


def number(flight: Flight, field: str) -> int:
    value = flight.record[field]
    assert isinstance(value, int)
    return value


def test_they_come_in_the_order_of_departure(flights: list[Flight]) -> None:
    assert all(one.arrival <= next_.arrival for one, next_ in pairwise(flights))


def test_59_percent_are_behind_the_newest_by_at_most_21_7_hours(flights: list[Flight]) -> None:
    newest, lags = 0, []
    for flight in flights:
        lags.append(max(0, newest - scheduled(flight)) / 60_000)
        newest = max(newest, scheduled(flight))
    lags.sort()
    count = len(lags)
    assert round(100 * sum(lag > 0 for lag in lags) / count) == 59
    assert [lags[count // 2], lags[count * 9 // 10], lags[count * 99 // 100]] == [3, 49, 180]
    assert round(lags[-1] / 60, 1) == 21.7


def test_every_flight_has_an_id_of_its_own(flights: list[Flight]) -> None:
    ids = {flight.record["flight_id"] for flight in flights}
    assert len(ids) == 336_776
    assert "2013-01-01-UA-1545-EWR-0515" in ids


def test_cancelled_flights_arrive_at_their_scheduled_time(flights: list[Flight]) -> None:
    cancelled = [flight for flight in flights if flight.record["dep_delay"] is None]
    assert len(cancelled) == 8_255
    assert all(flight.arrival == scheduled(flight) for flight in cancelled)


def test_origins_and_carriers_have_their_known_counts(flights: list[Flight]) -> None:
    origins = Counter(flight.record["origin"] for flight in flights)
    carriers = Counter(flight.record["carrier"] for flight in flights)
    assert origins == {"EWR": 120_835, "JFK": 111_279, "LGA": 104_662}
    assert carriers.most_common(3) == [("UA", 58_665), ("B6", 54_635), ("EV", 54_173)]
    assert sum(number(f, "air_time") for f in flights if f.record["air_time"]) == 49_326_610


@pytest.mark.parametrize("known", PUBLISHED, ids=lambda known: f"month-{known.month}")
def test_each_month_of_new_york_has_its_known_totals(flights: list[Flight], known: object) -> None:
    published = next(one for one in PUBLISHED if one == known)
    first, last = (published.month, published.month) if published.month else (1, 12)
    start, end = month_start(first), month_start(last + 1)
    some = [flight for flight in flights if start <= scheduled(flight) < end]
    left = [
        number(flight, "dep_delay") for flight in some if flight.record["dep_delay"] is not None
    ]
    assert len(some) == published.flights
    assert len(some) - len(left) == published.cancelled
    assert sum(left) == published.delay
    assert max(left) == published.worst
    assert sum(number(flight, "distance") for flight in some) == published.distance
    assert len({f.record["tailnum"] for f in some} - {None}) == published.aircraft


def test_the_known_totals_are_the_published_ones() -> None:
    oracle = DATA / "oracle" / "nycflights13_monthly.csv"
    if not oracle.is_file():
        pytest.skip(f"no {oracle.name} in FASTDATA_TEST_DATA")
    with oracle.open() as lines:
        rows = [{name: int(text) for name, text in row.items()} for row in csv.DictReader(lines)]
    ours = [
        {
            "month": known.month,
            "flights": known.flights,
            "cancelled": known.cancelled,
            "tails": known.aircraft + 1,  # there, no tail number is an aircraft of its own
            "dep_delay": known.delay,
            "distance": known.distance,
        }
        for known in PUBLISHED
        if known.month
    ]
    assert ours == rows
    assert round(PUBLISHED[-1].mean_delay, 5) == 12.63907
