"""The table of an answer in a terminal of 80 columns."""

import json

import pyarrow as pa
import pytest

from fastdata.cli.tables import table_text

WINDOW = {"window_start": "2025-03-01T05:00:00Z", "window_end": "2025-03-02T00:00:00Z"}


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")


def lines(by: dict[str, object], every: str = "1h", **measures: object) -> list[str]:
    end = WINDOW["window_end"] if every == "day" else "2025-03-01T06:00:00Z"
    row: dict[str, object] = {**WINDOW, "window_end": end, **by}
    for name, value in measures.items():
        lower, best, upper = value if isinstance(value, tuple) else (value, value, value)
        row |= {name: best, f"{name}_lower": lower, f"{name}_upper": upper}
    row |= {"exact": False, "fresh_until": None, "read_until": None, "gap": False}
    about = {
        "metric": "m", "definition": "m-0", "every": every, "rolling": None, "zone": "UTC",
        "by": list(by), "start": None, "fresh_until": "2025-03-01T06:00:00Z",
        "read_until": "2025-03-01T06:00:01.234000Z", "unfolded": 0, "earlier": None,
    }  # fmt: skip
    table = pa.table({name: _column(value) for name, value in row.items()})
    table = table.replace_schema_metadata({b"fastdata": json.dumps(about)})
    return table_text(table, 0.1, is_terminal=True).splitlines()


def _column(value: object) -> pa.Array:
    is_large = isinstance(value, int) and value > 1 << 62
    return pa.array([value], pa.decimal128(38) if is_large else None)


def test_measures_without_room_come_below_with_the_same_rows() -> None:
    values = {f"measure_{n}": (1_234_567, 2_345_678, 3_456_789) for n in range(3)}

    shown = lines({"country": "DE"}, every="day", **values)

    bounds = "2,345,678 [1,234,567, 3,456,789]"
    assert [line.split() for line in shown if "measure" in line] == [
        ["window", "country", f"measure_{n}"] for n in range(3)
    ]
    assert [line for line in shown if bounds in line] == [
        f"2025-03-01 from 05:00   DE        {bounds}   fresh"
    ] * 3
    assert max(map(len, shown)) <= 80


def test_the_lines_about_how_sure_it_is_are_broken_between_their_parts() -> None:
    shown = lines({}, n=7)

    assert [line for line in shown if "·" in line or "until" in line] == [
        "1 row, 0 exact · fresh until 2025-03-01 06:00 UTC",
        "read until 2025-03-01 06:00:01 UTC · no gaps · m-0 · 0.10 s",
    ]


def test_a_number_that_has_no_room_at_all_is_not_broken() -> None:
    shown = lines({"a": 10**30, "b": 1}, n=10**37)
    (line,) = [line for line in shown if "05:00" in line]

    assert line.split() == [
        "2025-03-01", "05:00", f"{10**30:,}", "1", f"{10**37:,}", "fresh",
    ]  # fmt: skip


def test_long_texts_are_broken_and_dates_beside_them_are_not() -> None:
    shown = lines({"page": "/a/long/path" * 20, "day": "2025-03-01T00:00:00Z"}, n=7)

    assert max(map(len, shown)) <= 80
    assert "2025-03-01T00:00:00Z" in shown[2]
    assert "/a/long/path" in shown[3]
