"""Days, weeks and months of time zones, against zoneinfo and by known days."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastdata import Metric, Source
from fastdata.coordinates.calendar import Calendar, Grain
from fastdata.coordinates.instants import HOUR_MS, MINUTE_MS, parse_instant
from fastdata.errors import DeclarationError

ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe",
    "America/Sao_Paulo", "America/Havana", "Pacific/Apia", "Africa/Cairo", "Asia/Kathmandu",
)  # fmt: skip
DAY = Grain("day")


def at(text: str, zone: str = "UTC") -> int:
    return parse_instant(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)))


def windows_of(zone: str, grain: Grain, start: str, end: str) -> list[tuple[int, int]]:
    return list(Calendar(zone).windows(grain, at(start, zone), at(end, zone)))


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", "2025-03-30", 23),
        ("Europe/Berlin", "2025-10-26", 25),
        ("America/New_York", "2025-03-09", 23),
        ("America/New_York", "2025-11-02", 25),
        ("America/New_York", "2025-07-04", 24),
        ("Australia/Lord_Howe", "2025-04-06", 24.5),
        ("America/Sao_Paulo", "2018-11-04", 23),  # 00:00 is skipped
        ("America/Havana", "2024-11-03", 25),  # 00:00 comes twice
        ("Asia/Kolkata", "2025-03-30", 24),
    ],
)
def test_days_have_the_hours_of_their_zone(zone: str, day: str, hours: float) -> None:
    ((start, end),) = windows_of(zone, DAY, f"{day}T12:00", f"{day}T13:00")

    assert end - start == hours * HOUR_MS


def test_a_date_that_a_zone_left_out_has_no_day() -> None:
    found = windows_of("Pacific/Apia", DAY, "2011-12-29T12:00", "2011-12-31T12:00")

    assert [datetime.fromtimestamp(s / 1000, UTC).isoformat() for s, _ in found] == [
        "2011-12-29T10:00:00+00:00",
        "2011-12-30T10:00:00+00:00",
    ]
    assert [end - start for start, end in found] == [24 * HOUR_MS] * 2


def local_days(zone: str, first: date, number: int) -> Iterator[datetime]:
    """The first minute of each date, found minute by minute around midnight."""
    info = ZoneInfo(zone)
    seen: set[date] = set()
    moment = datetime(first.year, first.month, first.day, tzinfo=UTC) - timedelta(days=1)
    end = moment + timedelta(days=number + 2)
    while moment < end:
        local = moment.astimezone(info)
        if local.date() not in seen:
            seen.add(local.date())
            yield moment
        moment += timedelta(minutes=15)


@given(
    st.sampled_from(ZONES),
    st.dates(date(1975, 1, 1), date(2037, 1, 1)),
)
def test_a_day_begins_at_the_first_instant_of_its_date(zone: str, first: date) -> None:
    calendar = Calendar(zone)
    starts = [parse_instant(moment) for moment in local_days(zone, first, 2)][1:]

    for start, after in pairwise(starts):
        assert calendar.day_of(start) == start
        assert calendar.day_of(after - MINUTE_MS) == start
        assert list(calendar.windows(DAY, start, after)) == [(start, after)]


@given(st.sampled_from(ZONES), st.integers(at("1975-01-01"), at("2037-01-01")))
def test_windows_tile_and_hold_what_they_touch(zone: str, start: int) -> None:
    end = start + 100 * 24 * HOUR_MS
    calendar = Calendar(zone)
    for grain in (DAY, Grain("week"), Grain("month")):
        found = list(calendar.windows(grain, start, end))

        assert found[0][0] <= start < found[0][1]
        assert found[-1][0] < end <= found[-1][1]
        assert all(one[1] == other[0] for one, other in pairwise(found))
    days = {s for s, _ in calendar.windows(DAY, start - 40 * 24 * HOUR_MS, end)}
    assert {s for s, _ in calendar.windows(Grain("month"), start, end)} <= days


def test_weeks_begin_on_monday_and_months_on_their_first() -> None:
    (week,) = windows_of("Europe/Berlin", Grain("week"), "2025-03-28T12:00", "2025-03-28T13:00")
    (month,) = windows_of("Europe/Berlin", Grain("month"), "2025-03-28T12:00", "2025-03-28T13:00")

    assert week == (at("2025-03-24", "Europe/Berlin"), at("2025-03-31", "Europe/Berlin"))
    assert month == (at("2025-03-01", "Europe/Berlin"), at("2025-04-01", "Europe/Berlin"))
    assert month[1] - month[0] == (31 * 24 - 1) * HOUR_MS


def test_rolling_days_end_with_each_day() -> None:
    found = windows_of("Europe/Berlin", Grain("day", 30), "2025-03-30T12:00", "2025-03-31T12:00")

    assert found == [
        (at("2025-03-01", "Europe/Berlin"), at("2025-03-31", "Europe/Berlin")),
        (at("2025-03-02", "Europe/Berlin"), at("2025-04-01", "Europe/Berlin")),
    ]


def test_rolling_days_count_no_date_that_the_zone_left_out() -> None:
    found = windows_of("Pacific/Apia", Grain("day", 3), "2011-12-31T12:00", "2012-01-03T12:00")

    starts = [date(2011, 12, 28), date(2011, 12, 29), date(2011, 12, 31), date(2012, 1, 1)]
    assert [start for start, _ in found] == [at(f"{day}", "Pacific/Apia") for day in starts]
    assert [end - start for start, end in found] == [3 * 24 * HOUR_MS] * 4


@pytest.mark.parametrize("text", ["day", "week", "month", "2d", "30d", "366d"])
def test_a_grain_is_written_as_it_is_read(text: str) -> None:
    assert str(Grain.parse(text)) == text


@pytest.mark.parametrize("text", ["", "1d", "0d", "367d", "days", "30 d", "year", "-3d", "1h"])
def test_what_is_no_grain(text: str) -> None:
    with pytest.raises(ValueError, match="'day', 'week', 'month' or rolling days from '2d'"):
        Grain.parse(text)


@pytest.mark.parametrize(
    ("zone", "hint"),
    [("Europe/Berlin ", "did you mean 'Europe/Berlin'"), ("+02:00", "IANA"), ("", "IANA")],
)
def test_what_is_no_zone(zone: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        Calendar(zone)


@pytest.mark.parametrize(
    ("rollups", "zone", "message"),
    [
        (
            ("day", "1d"),
            "UTC",
            "'1d' is not 'day', 'week', 'month' or rolling days from '2d' to '366d'",
        ),
        (
            ("day",),
            "Europe/Berln",
            (
                "'Europe/Berln' is no time zone: did you mean 'Europe/Berlin'? Write a name of the "
                "IANA database, as in 'Europe/Berlin'"
            ),
        ),
    ],
)
def test_a_metric_with_bad_rollups(
    orders: Source, rollups: tuple[str, ...], zone: str, message: str
) -> None:
    with pytest.raises(DeclarationError) as caught:
        Metric("visits", orders, rollups=rollups, zone=zone)

    assert str(caught.value).endswith(f": metric 'visits': {message}")


def test_rollups_and_their_zone_leave_a_metric_what_it_is(orders: Source) -> None:
    plain = Metric("visits", orders)
    rolled = Metric("visits", orders, rollups=("month", "30d", "month"), zone="Asia/Tokyo")

    assert rolled.id == plain.id
    assert rolled.rollups == (Grain("month"), Grain("day", 30))
    assert rolled.calendar.zone == "Asia/Tokyo"
