"""Ranges as people ask for them: words, durations, dates, in the zone that is asked about."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fastdata.coordinates.calendar import Calendar
from fastdata.coordinates.instants import parse_instant
from fastdata.coordinates.moments import parse_range

NOW = parse_instant("2025-03-30T10:20:30.400Z")  # in Berlin the clocks were put on that night


def asked(
    start: str | datetime | None = None,
    end: str | datetime | None = None,
    last: str | timedelta | None = None,
    zone: str = "UTC",
    now: int = NOW,
) -> list[str | None]:
    moments = parse_range(start, end, last, Calendar(zone), now)
    return [
        None if moment is None else f"{datetime.fromtimestamp(moment / 1000, UTC):%m-%d %H:%M:%S}"
        for moment in moments
    ]


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("UTC", ["03-29 00:00:00", "03-30 00:00:00"]),
        ("Europe/Berlin", ["03-28 23:00:00", "03-29 23:00:00"]),
        ("America/New_York", ["03-29 04:00:00", "03-30 04:00:00"]),
        ("Pacific/Kiritimati", ["03-29 10:00:00", "03-30 10:00:00"]),
    ],
)
def test_yesterday_is_the_day_before_today_in_the_zone(zone: str, expected: list[str]) -> None:
    assert expected == asked("yesterday", "today", zone=zone)


def test_a_day_has_as_many_hours_as_its_zone_gave_it() -> None:
    next_day = parse_instant("2025-03-31T00:30+02:00")
    assert ["03-29 23:00:00", "03-30 22:00:00"] == asked(
        "yesterday", "today", zone="Europe/Berlin", now=next_day
    )


def test_the_day_before_one_that_a_zone_left_out_is_the_one_before_that() -> None:
    samoa = parse_instant("2011-12-31T12:00+14:00")  # where no 30th of December was
    assert ["12-29 10:00:00", "12-30 10:00:00"] == asked(
        "yesterday", "today", zone="Pacific/Apia", now=samoa
    )


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ("24h", ["03-29 10:20:00", "03-30 10:21:00"]),
        ("30m", ["03-30 09:50:00", "03-30 10:21:00"]),
        ("7d", ["03-23 10:20:00", "03-30 10:21:00"]),
        ("90s", ["03-30 10:19:00", "03-30 10:21:00"]),
        (timedelta(hours=1), ["03-30 09:20:00", "03-30 10:21:00"]),
    ],
)
def test_the_last_hours_are_all_that_is_in_them_in_whole_minutes(
    last: str | timedelta, expected: list[str]
) -> None:
    assert expected == asked(last=last)


def test_at_a_whole_minute_the_last_hour_is_one_hour() -> None:
    noon = parse_instant("2025-03-30T12:00Z")
    assert ["03-30 11:00:00", "03-30 12:00:00"] == asked(last="1h", now=noon)


def test_the_last_hours_end_where_the_range_does() -> None:
    assert ["03-29 18:00:00", "03-30 00:00:00"] == asked(end="today", last="6h")
    assert ["12-30 00:00:00", "01-01 00:00:00"] == asked(end="2025-01-01", last="2d")


def test_now_takes_in_the_minute_that_has_begun() -> None:
    assert ["03-30 00:00:00", "03-30 10:21:00"] == asked("today", "now")
    assert ["03-30 10:20:00", None] == asked("now")


def test_words_have_no_case_and_dates_and_instants_are_as_ever() -> None:
    assert ["03-30 00:00:00", None] == asked(" Today ")
    assert ["01-01 05:00:00", "01-02 12:00:00"] == asked(
        "2025-01-01", datetime(2025, 1, 2, 12, tzinfo=UTC), zone="America/New_York"
    )
    assert [None, None] == asked()


def test_minutes_that_an_instant_cuts_are_in_the_range() -> None:
    assert ["01-01 06:00:00", "01-01 06:02:00"] == asked(
        "2025-01-01T06:00:59.999Z", datetime(2025, 1, 1, 6, 1, 0, 1_000, tzinfo=UTC)
    )
    assert ["01-01 06:00:00", "01-01 06:01:00"] == asked(
        "2025-01-01T06:00:00.000Z", "2025-01-01T06:01:00.000Z"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"start": "tomorow"},
            "'tomorow'; write '2013-01-31' or '2013-01-31T06:00:00Z', or 'now', 'today' or",
        ),
        ({"end": "9999-12-31T23:59:30"}, "whose minute ends after the year 9999"),
        ({"end": datetime(2025, 1, 1)}, "has no time zone; add one"),  # noqa: DTZ001
        ({"start": "today", "end": "yesterday"}, "its end yesterday is not after its start today"),
        ({"last": "1 day"}, "last: not a duration: '1 day'; write a whole number and"),
        ({"last": "0h"}, "last is 0h; it must be above 0"),
        ({"last": "999999w"}, "last is 999999w, which begins before the year 1"),
        ({"last": "999999999d"}, "last is 999999999d, which begins before the year 1"),
        (
            {"start": "2025-01-01T06:00:45Z", "end": "2025-01-01T06:00:15Z"},
            "its end 2025-01-01T06:00:15Z is not after its start 2025-01-01T06:00:45Z",
        ),
        ({"last": "1h", "start": "today"}, "last is 1h and start is today: give only one of them"),
    ],
)
def test_a_mistake_is_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        asked(**arguments)
    assert message in str(caught.value)
