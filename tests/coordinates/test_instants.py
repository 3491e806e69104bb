"""Laws of windows, durations and instants."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastdata.coordinates.instants import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    ceil_to,
    floor_to,
    parse_duration,
    parse_instant,
    to_datetime,
)  # fmt: skip

TIMES = st.integers(-(10**13), 10**13)
SIZES = st.sampled_from([1, 7, MINUTE_MS, 5 * MINUTE_MS, HOUR_MS, DAY_MS])


@given(TIMES, SIZES, TIMES)
def test_a_time_lies_in_its_own_window_only(time: int, size: int, origin: int) -> None:
    start = floor_to(time, size, origin)

    assert start <= time < start + size
    assert (start - origin) % size == 0


@given(TIMES, TIMES, SIZES)
def test_windows_keep_the_order_of_times(a: int, b: int, size: int) -> None:
    earlier, later = sorted([a, b])

    assert floor_to(earlier, size) <= floor_to(later, size)


@given(TIMES, SIZES)
def test_a_window_covers_its_own_start_and_last_instant(time: int, size: int) -> None:
    start = floor_to(time, size)

    assert floor_to(start, size) == start == floor_to(start + size - 1, size)


@given(TIMES, SIZES, TIMES)
def test_ceil_is_the_first_start_that_is_not_before(time: int, size: int, origin: int) -> None:
    start = ceil_to(time, size, origin)

    assert time <= start < time + size
    assert floor_to(start, size, origin) == start


@pytest.mark.parametrize(
    ("text", "ms"),
    [("500ms", 500), ("90s", 90_000), ("1m", 60_000), ("24h", 86_400_000), ("2w", 1_209_600_000)],
)
def test_durations_are_a_number_and_a_unit(text: str, ms: int) -> None:
    assert parse_duration(text) == ms


def test_a_timedelta_is_a_duration() -> None:
    assert parse_duration(timedelta(minutes=1, microseconds=1999)) == 60_001


@pytest.mark.parametrize("text", ["", "h", "1", "-1h", "1.5h", "1 month", "1M"])
def test_what_is_no_duration_says_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match="24h"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-01", 0),
        ("2013-01-01T05:15:00Z", 1_357_017_300_000),
        ("2013-01-01T00:15:00-05:00", 1_357_017_300_000),
        ("2013-01-01 05:15", 1_357_017_300_000),
        ("1969-12-31T23:59:59.999", -1),
    ],
)
def test_text_without_a_zone_is_utc(text: str, ms: int) -> None:
    assert parse_instant(text) == ms


def test_a_naive_datetime_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        parse_instant(datetime(2013, 1, 1))  # noqa: DTZ001


@given(TIMES)
def test_a_time_survives_as_a_datetime(time: int) -> None:
    assert parse_instant(to_datetime(time)) == time


def test_the_zone_of_a_datetime_does_not_matter() -> None:
    east = datetime(2013, 1, 1, 5, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))

    assert parse_instant(east) == parse_instant(datetime(2013, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2025-03-30", "2025-03-29T23:00Z"),
        ("2025-03-30T02:30", "2025-03-30T01:30Z"),  # skipped: by the offset before
        ("2025-10-26T02:30", "2025-10-26T00:30Z"),  # comes twice: the first
        ("2025-10-26T02:30+01:00", "2025-10-26T01:30Z"),
    ],
)
def test_text_without_an_offset_is_of_the_zone(text: str, expected: str) -> None:
    assert parse_instant(expected) == parse_instant(text, ZoneInfo("Europe/Berlin"))


@pytest.mark.parametrize(
    ("text", "zone"), [("0001-01-01", "Asia/Tokyo"), ("9999-12-31T23:00", "America/New_York")]
)
def test_an_instant_is_of_the_years_1_to_9999_in_utc(text: str, zone: str) -> None:
    assert to_datetime(parse_instant(text)).year in (1, 9999)
    with pytest.raises(ValueError, match="is outside of the years 1 to 9999, UTC"):
        parse_instant(text, ZoneInfo(zone))


@pytest.mark.parametrize("text", ["1000000000d", "9" * 5_000 + "ms"])
def test_what_no_timedelta_can_be_is_no_duration(text: str) -> None:
    assert parse_duration("999999999d") == 86_399_999_913_600_000
    with pytest.raises(ValueError, match=r"is too long; at most it is 999999999d$"):
        parse_duration(text)
