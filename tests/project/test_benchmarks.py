"""What `python -m benchmarks` makes of its figures: tables, ratios, the page. No figures."""

import argparse
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from benchmarks import __main__ as command
from benchmarks import endurance, fresh, loads, machine, sending, tables, worker
from benchmarks.feed import Feed, expected, wrong
from fastdata.events.schema import encode

ROOT = Path(__file__).parents[2]


def row(system: str, us_cpu: float, **more: Any) -> dict[str, Any]:
    """A row of the worker's table."""
    usual = {"load": "flights", "measures": "count", "count_only": False, "keeps": "nothing"}
    counted = {"events": 1_000, "us_wall": us_cpu, "peak_mb": 50, "wrong": 0}
    return {"system": system, "us_cpu": us_cpu, **usual, **counted, **more}


ROWS = [
    row("fastdata", 8.0),
    row("fastdata, count only", 5.0, count_only=True),
    row("a loop", 4.0),
    row("a peer", 125.0, count_only=True, wrong=3),
    {"load": "flights", "system": "another", "count_only": True, "not_run": "no wheel"},
]
RESULTS = {
    "machine": {
        "date": "2030-01-02 03:04 UTC",
        "cpu": "Some <CPU>",
        "cores": 2,
        "memory_gb": 8,
        "system": "Linux 6",
        "python": "3.13.1",
        "versions": {"fastdata": "1.0"},
    },
    "peers": ["peer==1"],
    "arguments": "--quick",
    "load": {"seconds": 10.0, "own_cores": 1.5, "other_cores": 0.1, "load_average": 1.2},
    "parts": {
        "worker": ROWS,
        "replay": [
            {"system": name, "events": 9, "cpu_s": s, "us_cpu": s, "wall_s": s, "wrong": 0}
            for name, s in (("fastdata replay", 2.0), ("DuckDB", 1.0))
        ],
    },
}


def cells(table: str, first: str) -> list[str]:
    """The cells of the line that begins with this one."""
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    (found,) = [line for line in lines if line and line[0] == first]
    return found


def test_a_system_is_compared_with_fastdata_doing_the_same() -> None:
    shown = tables.worker(ROWS)

    assert "0.50x" == cells(shown, "a loop")[2]
    assert "25x" == cells(shown, "a peer")[2]


def test_a_table_says_who_counted_wrong_and_who_did_not_run() -> None:
    shown = tables.worker(ROWS)

    assert "no: 3 wrong" == cells(shown, "a peer")[-1]
    assert "not run: no wheel" == cells(shown, "another")[1]


def test_numbers_stand_at_the_right() -> None:
    rule = tables.replay(RESULTS["parts"]["replay"]).splitlines()[1]  # type: ignore[index]

    assert [False, True, True, True, True, True, False] == [
        cell.strip().endswith(":") for cell in rule.split("|")[1:-1]
    ]


def test_a_page_is_written_between_its_marks_and_again() -> None:
    before = "a\n<!-- machine -->\nold\n<!-- end of machine -->\nb\n<!-- worker -->\n"
    before += "<!-- end of worker -->\nc\n<!-- replay -->\n<!-- end of replay -->\nd\n"
    page = tables.page(before, RESULTS)

    assert "old" not in page
    assert ["a", "b", "c", "d"] == [line for line in page.splitlines() if len(line) == 1]
    assert "Some <CPU>, 2 cores" in page
    assert page == tables.page(page, RESULTS)


def test_a_page_without_a_mark_is_refused() -> None:
    with pytest.raises(ValueError, match="no <!-- machine -->"):
        tables.page("nothing", RESULTS)


def test_the_page_of_the_documentation_has_a_place_for_each_part() -> None:
    page = (ROOT / "docs/performance.md").read_text()

    assert tables.PARTS.keys() == command.PARTS.keys()
    for name in ("machine", *tables.PARTS):
        assert page.count(f"<!-- {name} -->\n") == page.count(f"<!-- end of {name} -->\n") == 1


def test_pictures_are_drawings_with_a_bar_for_each_system() -> None:
    charts = tables.charts(RESULTS)

    assert {"worker-flights.svg", "replay.svg"} == charts.keys()
    drawing = ET.fromstring(charts["worker-flights.svg"])
    widths = [float(bar.get("width", "")) for bar in drawing if bar.tag.endswith("rect")]
    assert 4 == len(widths)
    assert max(widths) == widths[3]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b'["/7", [120, 179.9]]', b"3"),  # Faust's changelog
        (b"/7", b'{"start": 120000, "end": 180000, "value": 3}'),  # Quix, Bytewax
        (b"", b'{"key": "/7", "start": 120000, "value": 3, "diff": 1}'),  # Pathway
    ],
)
def test_answers_of_peers_are_read(key: bytes, value: bytes) -> None:
    assert ("/7", 2, 3) == worker.answer_of(key, value)


def test_an_event_is_as_old_as_its_answer_is_late() -> None:
    notes = [(10.0, 2), (11.0, 3), (12.0, 5)]
    answers = [(10.5, 0), (11.5, 3), (12.5, 4), (13.5, 5)]

    assert [1.5, 1.5, 0.5, 0.5, 1.5] == fresh.ages(notes, answers)


def test_an_event_that_is_sent_later_has_another_time_and_nothing_else(tmp_path: Path) -> None:
    schema = loads.views(3).declare(tmp_path, "topic").source.schema
    event = next(loads.views(3).events(1))
    value, later = encode(schema, event, schema.id), event["at"] + 86_400_000
    before, after = sending.halves(event["at"], value)

    moved = encode(schema, event | {"at": later}, schema.id)
    assert moved == before + sending.varint(later) + after


def test_what_a_feed_has_sent_is_known_cell_by_cell() -> None:
    feed, events = (
        Feed(),
        [{"page": page, "bytes": 10, "ms": ms} for page, ms in [("a", 1), ("b", 2)]],
    )
    for at, sent in ((59.0, 3), (60.5, 3), (61.0, 8)):
        feed.note(at, sent)
    right = expected(feed, events)

    assert right == {
        ("a", 0): (2, 20, 2), ("b", 0): (1, 10, 2), ("a", 1): (2, 20, 2), ("b", 1): (3, 30, 6)
    }  # fmt: skip
    assert feed.before(1) == 3
    assert wrong(right, right) == {"cells": 4, "lost": 0, "double": 0, "wrong_sums": 0}
    found = right | {("a", 0): (1, 10, 1), ("b", 0): (3, 30, 6), ("a", 1): (2, 20, 3)}
    assert wrong(right, found) == {"cells": 4, "lost": 1, "double": 2, "wrong_sums": 1}


def test_events_of_a_feed_are_as_old_as_the_first_answer_that_counts_them() -> None:
    feed = Feed()
    feed.note(10.0, 2)
    feed.note(11.0, 4)

    assert feed.answer(3, 12.0) == [2.0, 2.0, 1.0]
    assert feed.oldest == 11.0
    assert feed.answer(4, 12.5) == [1.5]
    assert feed.oldest is None


def test_a_partition_stands_still_only_while_it_has_something_to_do() -> None:
    still = endurance.Standstill()
    for now, offset, is_behind in ((0, 5, True), (2, 5, True), (3, 6, True), (9, 6, False)):
        still.see({0: offset}, is_behind, float(now))

    assert still.take() == 2.0
    assert still.take() == 0.0


def test_a_slope_is_that_of_the_rows_after_the_warm_up() -> None:
    rows = [{"seconds": 360.0 * n, "rss_mb": max(100.0, 98.0 + n)} for n in range(20)]

    assert endurance.slope(rows, "rss_mb", 720.0) == 10.0
    assert endurance.slope(rows, "rss_mb", 5_000.0) is None


@pytest.mark.parametrize("load", [loads.views(3), loads.flights()], ids=lambda load: load.name)
def test_what_is_missing_or_too_much_is_noticed(load: loads.Load, tmp_path: Path) -> None:
    encoded = loads.Encoded(load, load.declare(tmp_path, "topic"), 50)
    counts = dict(encoded.counts)
    later = max(minute for _, minute in counts) + 1

    assert 0 == encoded.differences(counts | {("closing", later): 4})
    first = next(iter(counts))
    assert counts[first] == encoded.differences(counts | {first: 0})
    assert 2 == encoded.differences(counts | {("other", later - 1): 2})


def test_parts_are_named_or_refused() -> None:
    assert ["worker", "query"] == command.parts_of("query,worker")
    with pytest.raises(argparse.ArgumentTypeError, match="no part speed; there are worker, "):
        command.parts_of("speed")


def test_a_run_fails_when_anybody_counts_wrong_or_fastdata_does_not_run() -> None:
    assert [False, False, False, True, False] == [command.is_bad(row) for row in ROWS]
    assert command.is_bad({"system": "fastdata, count only", "not_run": "exit 70"})


def test_the_machine_is_described_in_a_line() -> None:
    results = RESULTS | {"machine": machine.facts(), "load": machine.Meter().read()}

    assert 1 == len(tables.machine(results).splitlines())
    assert "fastdata-lambda" in tables.machine(results)
