"""Three files as others write them, each with what goes wrong with such files."""

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

ORDERS, READINGS, CLICKS = 3_000, 2_000, 4_000


def write_orders(path: Path) -> None:
    """JSON lines with repeats, broken lines, missing customers, and seconds among milliseconds."""
    lines = []
    for number in range(ORDERS):
        order: dict[str, object] = {
            "order_id": f"o-{number:05d}",
            "ordered_at": 1_760_000_000_000 + number * 37_000,
            "customer": {"id": f"c{number % 397}", "country": ("DE", "FR", "JP")[number % 3]},
            "status": ("new", "paid", "sent")[number % 7 % 3],
            "amount": (number * 7919 % 30_000) / 100,
            "quantity": number % 8 + 1,
            "order no.": number,
        }
        if number % 500 == 7:
            order["ordered_at"] = 1_760_000_000 + number * 37
        if number % 300 == 9:
            del order["customer"]
        lines.append(json.dumps(order))
        if number % 100 == 3:
            lines.append(lines[-1])
        if number % 1_000 == 5:
            lines.append('{"order_id": "o-')
    path.write_text("\n".join(lines) + "\n")


def write_readings(path: Path) -> None:
    """CSV with names that Avro does not take, local times, NA, and rows without all cells."""
    began = datetime(2025, 3, 1)  # noqa: DTZ001  (a sensor knows no zone)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["Measured At", "sensor", "temp (C)", "humidity", "ok", "room"])
        for number in range(READINGS):
            writer.writerow(
                [
                    began + timedelta(seconds=90 * number),
                    f"s{number % 7}",
                    "NA" if number % 50 == 0 else f"{20 + number % 40 / 8:.3f}",
                    number % 60 + 20,
                    "True" if number % 9 else "False",
                    f"0{number % 3}1",
                ]
            )
            if number % 700 == 4:
                writer.writerow(["2025-03-01 00:00:00", "s1"])


def write_clicks(path: Path) -> None:
    """Parquet with nanoseconds, dictionaries, NaN for null, records and a column of nulls."""
    began = datetime(2025, 6, 1, tzinfo=UTC)
    numbers = range(CLICKS)
    table = pa.table(
        {
            "click_id": [f"k{number}" for number in numbers],
            "clicked_at": pa.array(
                [began + timedelta(seconds=11 * number) for number in numbers],
                pa.timestamp("ns", "UTC"),
            ),
            "user": [f"u{number % 333}" for number in numbers],
            "page": pa.array([f"/p{number % 17}" for number in numbers]).dictionary_encode(),
            "load_ms": [float("nan") if n % 10 == 0 else float(n % 400) for n in numbers],
            "geo": [{"country": ("DE", "US")[n % 2], "lat": 1.5} for n in numbers],
            "note": pa.nulls(CLICKS),
        }
    )
    parquet.write_table(table, path, row_group_size=1_000)
