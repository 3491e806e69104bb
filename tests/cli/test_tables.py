"""The table of an answer in terminals of 40, 80 and 200 columns."""

import json
import re
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from rich.cells import cell_len

from fastdata.cli.tables import footer_lines, row_lines

NINE = datetime(2025, 3, 1, 5, tzinfo=UTC)
ITEM = pa.struct(
    {"item": pa.string(), "count": pa.int64(), "lower": pa.int64(), "upper": pa.int64()}
)
UNSURE: list[object] = [1_234_567, 2_345_678, 3_456_789]


def answer(by: dict[str, object], every: str = "1h", rows: int = 1, **measures: object) -> pa.Table:
    """Rows of one hour, or of the end of a day; a measure of three numbers has bounds."""
    end = NINE.replace(day=2, hour=0) if every == "day" else NINE.replace(hour=6)
    instant = pa.timestamp("ms", tz="UTC")
    columns = {"window_start": pa.array([NINE], instant), "window_end": pa.array([end], instant)}
    columns |= {name: _column(value) for name, value in by.items()}
    for name, value in measures.items():
        bounds = UNSURE if value == UNSURE else [value] * 3
        for key, bound in zip((f"{name}_lower", name, f"{name}_upper"), bounds, strict=True):
            columns[key] = _column(bound)
    columns |= {"exact": pa.array([False]), "gap": pa.array([False])}
    about = {
        "metric": "m", "definition": "m-0", "every": every, "rolling": None, "zone": "UTC",
        "by": list(by), "start": None, "fresh_until": "2025-03-01T06:00:00Z",
        "read_until": "2025-03-01T06:00:01.234000Z", "unfolded": 0, "earlier": None,
    }  # fmt: skip
    table = pa.table(columns).take(pa.array([0] * rows, pa.int64()))
    return table.replace_schema_metadata({b"fastdata": json.dumps(about)})


def _column(value: object) -> pa.Array:
    if isinstance(value, pa.Scalar):
        return pa.array([value.as_py()], value.type)
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return pa.array([value], pa.list_(ITEM))
    is_large = isinstance(value, int) and value > 1 << 62
    return pa.array([value], pa.decimal128(38) if is_large else None)


def lines(table: pa.Table, width: int | None = 80, as_records: bool = False) -> list[str]:
    shown = list(row_lines(table, width, as_records))
    assert width is None or max(map(cell_len, shown), default=0) <= width
    assert [line for line in shown if not line.replace("…", "").isprintable()] == []
    return shown


def top(*counts: int) -> list[dict[str, object]]:
    return [
        {"item": f"page{n}", "count": count, "lower": count, "upper": count}
        for n, count in enumerate(counts, 1)
    ]


def test_measures_without_room_come_below_with_the_same_rows() -> None:
    values: dict[str, Any] = {f"measure_{n}": UNSURE for n in range(3)}

    shown = lines(answer({"country": "DE"}, every="day", **values))

    bounds = "2,345,678 [1,234,567, 3,456,789]"
    assert [line.split() for line in shown if "measure" in line] == [
        ["window", "country", f"measure_{n}"] for n in range(3)
    ]
    assert [line for line in shown if bounds in line] == [
        f"2025-03-01 from 05:00   DE        {bounds}   in progress"
    ] * 3


def test_measures_with_room_are_beside_each_other() -> None:
    values: dict[str, Any] = {f"measure_{n}": UNSURE for n in range(3)}

    shown = lines(answer({"country": "DE"}, **values), width=200)

    assert 3 == len(shown)
    assert 3 == shown[2].count("2,345,678 [1,234,567, 3,456,789]")


def test_the_lines_about_how_sure_it_is_are_broken_between_their_parts() -> None:
    assert footer_lines(answer({}, n=7), 0.1, 80) == [
        "1 row, 0 exact · fresh until 2025-03-01 06:00 UTC",
        "read until 2025-03-01 06:00:01 UTC · no gaps · m-0 · 0.10 s",
    ]


def test_a_part_of_those_lines_that_has_no_room_is_broken_between_words() -> None:
    shown = footer_lines(answer({}, rows=0, n=7), 0.1, 30, "nothing from 2025-01-01 on; m knows x")

    assert shown[:2] == ["nothing from 2025-01-01 on; m", "knows x"]


@pytest.mark.parametrize("width", [60, 80])
def test_what_has_no_room_as_a_row_is_a_record(width: int) -> None:
    table = answer({"a": 10**24, "b": 1}, n=10**25, city="Oslo")

    shown = lines(table, width)

    assert "── 1 · fresh ─" in shown[0]
    assert shown[1:] == [
        "window  2025-03-01 05:00",
        f"a       {10**24:,}",
        "b       1",
        f"n       {10**25:,}",
        "city    Oslo",
    ]


def test_a_number_wider_than_the_terminal_is_whole_all_the_same() -> None:
    shown = list(row_lines(answer({}, n=10**37), 40))

    assert f"n       {10**37:,}" in shown


def test_records_can_be_asked_for_and_are_numbered() -> None:
    shown = lines(answer({}, rows=2, n=7, pages=top(12, 9)), as_records=True)

    assert [line[:13] for line in shown if "─" in line] == ["── 1 · fresh ", "── 2 · fresh "]
    assert shown[1:4] == [
        "window  2025-03-01 05:00", "n       7", "pages   page1 12, page2 9",
    ]  # fmt: skip


def test_all_items_of_a_list_are_in_a_record_and_none_is_broken() -> None:
    shown = lines(answer({}, pages=top(*range(10_000, 10_300, 10))), 40, as_records=True)

    assert shown[2:4] == [
        "pages   page1 10,000, page2 10,010,",
        "        page3 10,020, page4 10,030,",
    ]
    assert shown[-1].endswith("page30 10,290")


@pytest.mark.parametrize("width", [60, 80, 200])
def test_lists_are_shortened_to_what_has_room_and_say_how_many_more(width: int) -> None:
    pages = top(*range(10_000, 10_300, 10))

    (line,) = [x for x in lines(answer({}, pages=pages), width) if "05:00" in x]

    match = re.search(r"page(\d+) [\d,]+, … (\d+) more ", line)
    assert match
    assert 30 == int(match[1]) + int(match[2])
    assert "page1 10,000, " in line


def test_an_empty_list_is_as_wide_as_what_is_said_of_it() -> None:
    head, _, row = lines(answer({}, a=pa.scalar([], pa.list_(pa.int64())), b=7))

    assert (head.index("b"), "none") == (row.index("7"), row.split()[2])


def test_a_long_item_of_a_list_is_cut_and_its_count_is_not() -> None:
    item = {"item": "/a/long/path" * 20, "count": 1_234, "lower": 1_200, "upper": 1_300}

    (line,) = [x for x in lines(answer({}, pages=[item, item])) if "05:00" in x]

    assert "/a/long/path/a/long… 1,234 [1,200, 1,300], … 1 more" in line


def test_long_texts_are_broken_and_dates_beside_them_are_not() -> None:
    day = datetime(2025, 3, 1, tzinfo=UTC)

    shown = lines(answer({"page": "/a/long/path" * 8, "day": day}, n=7))

    assert "2025-03-01T00:00:00Z" in shown[2]
    assert "".join(line.split()[-1] for line in shown[3:]) in "/a/long/path" * 8
    assert "/a/long/path" in shown[3]


def test_a_very_long_text_is_cut_in_a_table_and_whole_in_a_record() -> None:
    table = answer({"page": "abcdefghij" * 270}, n=7)

    shown, records = lines(table), lines(table, as_records=True)

    assert (6, "…") == (len(shown), shown[-1][-1])
    assert "abcdefghij" * 270 in "".join(line.split()[-1] for line in records)


def test_long_names_are_broken_too() -> None:
    name = "seconds_between_the_first_and_the_last_event_of_a_session"
    values: dict[str, Any] = {name: 7}

    first, second, *_ = lines(answer({}, **values), 60)

    assert name == first.removeprefix("window").strip() + second.strip()


@pytest.mark.parametrize(
    "text",
    [
        "日本語のとても長いページの名前です" * 3,
        "שלום עולם " * 9,
        "e\u0301" * 60,
        "🙂" * 50,
        "a\u200db",
    ],
)
@pytest.mark.parametrize("width", [60, 80])
def test_columns_stand_below_each_other_whatever_is_written(text: str, width: int) -> None:
    table = answer({"page": text, "b": "end"}, n=7)

    head, _, first, *_ = lines(table, width)

    assert cell_len(head.split(" b ")[0]) == cell_len(first.split(" end ")[0])


def test_control_characters_are_shown_and_not_sent() -> None:
    shown = lines(answer({"page": "\x1b[31m\u202egnp\r\n\x9b"}, pages=top(1)), as_records=True)

    assert r"page    \x1b[31m\u202egnp\r\n\x9b" in shown


def test_without_rows_there_is_no_table() -> None:
    assert [] == lines(answer({"city": "Oslo"}, rows=0, n=7))


def test_who_reads_no_terminal_gets_lines_that_are_whole() -> None:
    pages, page = top(*range(10_000, 10_300, 10)), "/a/long/path" * 20

    shown = lines(answer({"page": page}, pages=pages, n=10**37), width=None)

    assert 3 == len(shown)
    assert page in shown[2]
    assert "page30 10,290" in shown[2]
    assert "more" not in shown[2]


def test_rows_are_made_as_they_are_asked_for() -> None:
    shown = row_lines(answer({"city": "Oslo"}, rows=25_000, n=7), 80)

    assert 25_002 == sum(1 for _ in shown)
