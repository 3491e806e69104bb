"""The row engine against literal answers."""

import io
import json
from collections.abc import Sequence
from pathlib import Path

import fastavro
import pytest

from fastdata.batch.engine import DeclaredMetric, fold_declared, fold_job
from fastdata.batch.job import Job, JobResult, Piece
from fastdata.batch.row_engine import fold
from fastdata.coordinates.instants import HOUR_MS
from fastdata.errors import MapError, ReplayError
from fastdata.events.schema import Schema
from tests.batch.sales import DAY, Key, Numbers, Sale, Sales, count, str_or_none

LATER_SCHEMA = {
    "type": "record",
    "name": "Sale",
    "fields": [
        {"name": "sale_id", "type": ["null", "string"]},
        {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}]},
        {"name": "shop", "type": ["null", "string"]},
        {"name": "amount", "type": "int"},
        {"name": "buyer", "type": ["null", "string"]},
        {"name": "note", "type": "string", "default": ""},
    ],
}


def piece(
    sales: Sales, rows: Sequence[tuple[int, Sale]], partition: int = 0, segment: int = 0
) -> Piece:
    schema = sales.source.schema
    encoded = [(offset, sale.encode(schema)[5:]) for offset, sale in rows]
    return Piece(partition, segment, schema.canonical, encoded)


def job(pieces: Sequence[Piece], hours: dict[int, int]) -> Job:
    """Events by hour of the day; metric 0 wants them all."""
    spans = {DAY + hour * HOUR_MS: events for hour, events in hours.items()}
    return Job(spans, dict.fromkeys(spans, (0,)), pieces)


def answers(sales: Sales, folded: JobResult) -> dict[Key, Numbers]:
    return {
        (window, str_or_none(json.loads(dims)[0])): sales.numbers(state)
        for rows in folded.totals.values()
        for window, dims, state in rows
    }


def test_late_shuffled_and_repeated_events_of_two_partitions_are_counted_once(
    sales: Sales,
) -> None:
    zero = [
        Sale("a", 61, "north", 5, "ann"),
        Sale("b", 2, "south", 7, "bob"),
        Sale("a", 61, "north", 5, "ann"),
        Sale("c", 61, "north", 1, "cem"),
        Sale("t", 3, "test", 100, "ann"),
        Sale(None, 2, "south", 3),
        Sale(None, 2, "south", 3),
    ]
    one = [Sale("d", 2, None, 9, "bob"), Sale("b", 2, "south", 7, "bob"), Sale("e", None)]
    pieces = [piece(sales, list(enumerate(zero))), piece(sales, list(enumerate(one)), partition=1)]

    folded = fold([sales.by_shop], job(pieces, {0: 6, 1: 3}))

    assert answers(sales, folded) == count({0: zero, 1: one})
    assert folded.duplicates == {DAY: 1, DAY + HOUR_MS: 1}


def test_of_a_repeated_id_the_first_by_partition_and_offset_counts(sales: Sales) -> None:
    pieces = [
        piece(sales, [(8, Sale("a", 1, amount=2))]),
        piece(sales, [(3, Sale("a", 1, amount=3))], partition=1),
    ]

    folded = fold([sales.by_shop], job(pieces, {0: 2}))

    assert answers(sales, folded) == {(DAY + 60_000, "north"): (1, 2, 0)}


def test_objects_of_one_segment_with_different_schemas_are_read_by_offset(sales: Sales) -> None:
    later = Schema.parse(json.dumps(LATER_SCHEMA))
    data = io.BytesIO()
    record = {"sale_id": "a", "at": DAY, "shop": "north", "amount": 2, "buyer": None, "note": "x"}
    fastavro.schemaless_writer(data, later.parsed, record)
    pieces = [
        piece(sales, [(0, Sale("z", 0)), (2, Sale("a", 0, amount=5))]),
        Piece(0, 0, later.canonical, [(1, data.getvalue())]),
    ]

    folded = fold([sales.by_shop], job(pieces, {0: 3}))

    assert answers(sales, folded) == {(DAY, "north"): (2, 3, 0)}


def test_an_id_counts_again_in_another_hour(sales: Sales) -> None:
    pieces = [piece(sales, [(0, Sale("a", 59)), (1, Sale("a", 60))])]

    folded = fold([sales.by_shop], job(pieces, {0: 1, 1: 1}))

    assert len(answers(sales, folded)) == 2


def test_totals_are_in_order_of_window_and_dimensions(sales: Sales) -> None:
    rows = [Sale("a", 2, "b"), Sale("b", 1, "c"), Sale("c", 2, "a"), Sale("d", 1, None)]
    pieces = [piece(sales, list(enumerate(rows)))]

    folded = fold([sales.by_shop], job(pieces, {0: 4}))

    assert [(window - DAY, dims) for window, dims, _ in folded.totals[0, DAY]] == [
        (60_000, '["c"]'),
        (60_000, "[null]"),
        (120_000, '["a"]'),
        (120_000, '["b"]'),
    ]


def test_events_outside_of_the_spans_are_skipped(sales: Sales) -> None:
    pieces = [piece(sales, [(0, Sale("a", 10)), (1, Sale("b", 70))])]

    folded = fold([sales.by_shop], job(pieces, {1: 1}))

    assert answers(sales, folded) == {(DAY + 70 * 60_000, "north"): (1, 1, 0)}


def test_a_span_is_computed_only_for_the_metrics_that_want_it(sales: Sales) -> None:
    pieces = [piece(sales, [(0, Sale("a", 10)), (1, Sale("b", 70))])]
    wanted = {DAY: (1,), DAY + HOUR_MS: (0, 1)}

    folded = fold([sales.by_shop, sales.in_all], Job(dict.fromkeys(wanted, 1), wanted, pieces))

    assert sorted(folded.totals) == [(0, DAY + HOUR_MS), (1, DAY), (1, DAY + HOUR_MS)]


def test_another_number_of_events_than_the_manifest_says_is_an_error(sales: Sales) -> None:
    pieces = [piece(sales, [(0, Sale("a", 10))])]

    with pytest.raises(ReplayError, match=r"2 events .* 2013-01-01 00:00.* 1 can be read"):
        fold([sales.by_shop], job(pieces, {0: 2}))


def test_a_bug_in_a_map_function_is_an_error(sales: Sales) -> None:
    def broken(event: dict[str, object]) -> dict[str, object] | None:
        raise RuntimeError("no")

    sales.source.mapper = broken

    with pytest.raises(MapError, match="RuntimeError: no"):
        fold([sales.by_shop], job([piece(sales, [(0, Sale("a", 10))])], {0: 1}))


def test_a_map_function_that_takes_a_field_away_is_named(sales: Sales) -> None:
    sales.source.mapper = lambda event: {"shop": "north"}

    message = r"^amount: .* no field 'amount'; the map function of source 'sales'"
    with pytest.raises(MapError, match=message):
        fold([sales.by_shop], job([piece(sales, [(0, Sale("a", 10))])], {0: 1}))


def test_a_worker_process_finds_the_metric_in_its_file(sales: Sales) -> None:
    work = job([piece(sales, [(0, Sale("a", 10))])], {0: 1})
    declared = DeclaredMetric(str(sales.file), "by_shop", sales.by_shop.id, ((), "UTC"))

    assert fold_declared([declared], work) == fold_job([sales.by_shop], work)


def test_a_definition_that_has_changed_since_is_refused(sales: Sales, tmp_path: Path) -> None:
    work = job([piece(sales, [(0, Sale("a", 10))])], {0: 1})
    changed = tmp_path / "agents" / "changed.py"
    changed.write_text(sales.file.read_text().replace('by=["shop"]', "by=[]"))
    declared = DeclaredMetric(str(changed), "by_shop", sales.by_shop.id, ((), "UTC"))

    with pytest.raises(ReplayError, match="does not declare the metric by_shop-"):
        fold_declared([declared], work)
