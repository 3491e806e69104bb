"""The real events, as records of the schemas in `declared/schemas`."""

import csv
import gzip
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fastdata.demo.flights import read_flights

__all__ = [
    "Record",
    "find",
    "milliseconds",
    "read_github",
    "read_nested",
    "read_new_york",
    "read_retail",
    "read_wikipedia",
]

Record = dict[str, object]

REPOSITORY = Path(__file__).parents[2]
DATA = Path(os.environ.get("FASTDATA_TEST_DATA", REPOSITORY.parent / "shared" / "data"))


def find(name: str) -> Path:
    """A file of the data folder."""
    path = DATA / name
    if not path.is_file():
        _miss(f"there is no {path}; set FASTDATA_TEST_DATA to the folder of the data sets")
    return path


def read_wikipedia() -> Iterator[Record]:
    with gzip.open(find("wikiticker-2015-09-12-sampled.json.gz"), "rt") as lines:
        for number, line in enumerate(lines):
            edit = json.loads(line)
            yield {
                "edit": number,
                "time": milliseconds(edit["time"]),
                "country": edit["countryName"],
                "is_robot": edit["isRobot"],
                "metro_code": edit["metroCode"],
                **{name: edit[name] for name in ("channel", "page", "user")},
                **{name: edit[name] for name in ("added", "deleted", "delta")},
            }


def read_retail() -> Iterator[Record]:
    with gzip.open(find("online_retail.csv.gz"), "rt", newline="") as lines:
        for number, line in enumerate(csv.DictReader(lines)):
            quantity, price = int(line["Quantity"]), Decimal(line["UnitPrice"])
            yield {
                "line": number,
                "sold": milliseconds(line["InvoiceDate"] + "Z"),
                "invoice": line["InvoiceNo"],
                "article": line["StockCode"],
                "country": line["Country"],
                "customer": int(float(line["CustomerID"])) if line["CustomerID"] else None,
                "quantity": quantity,
                "unit_price": price,
                "revenue": quantity * price,
                "price": float(line["UnitPrice"]),
            }


def read_github() -> Iterator[Record]:
    for event in read_nested():
        yield {
            "event": event["id"],
            "created": 1000 * milliseconds(event["created_at"]),
            "type": event["type"],
            "actor": event["actor"]["id"],
            "repository": event["repo"]["id"],
            "org": event["org"]["login"] if "org" in event else None,
            "commits": event["payload"].get("size"),
        }


def read_nested() -> Iterator[dict[str, Any]]:
    """The events of GitHub as they were published."""
    with gzip.open(find("gharchive-2015-01-01-0.json.gz"), "rt") as lines:
        yield from map(json.loads, lines)


def read_new_york() -> Iterator[Record]:
    for flight in read_flights():
        yield flight.record


def _miss(reason: str) -> None:
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(reason)
    pytest.skip(reason)


def milliseconds(text: str) -> int:
    """An instant of ISO 8601, ms UTC."""
    moment = datetime.fromisoformat(text).astimezone(UTC)
    return int(moment.timestamp() * 1000 + 0.5)
