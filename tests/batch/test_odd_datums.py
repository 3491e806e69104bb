"""Datums that Avro allows, or that fastavro alone reads: both engines give the same totals."""

import json
import logging
from pathlib import Path

import pytest

from fastdata import Max, Metric, Source, Sum
from fastdata.archive.avro_file import Records, build_object, records_of
from fastdata.batch.columnar.engine import fold_columns
from fastdata.batch.engine import fold_job
from fastdata.batch.job import Job, Piece
from fastdata.batch.row_engine import fold
from fastdata.coordinates.instants import HOUR_MS, parse_instant
from tests.support.mutations.avro import varint

START = parse_instant("2024-02-29")
FIELDS = [
    {"name": "at", "type": "long"},
    {"name": "whole", "type": "int"},
    {"name": "labels", "type": {"type": "map", "values": "int"}},
]


@pytest.fixture
def metric(tmp_path: Path) -> Metric:
    path = tmp_path / "odd.avsc"
    path.write_text(json.dumps({"type": "record", "name": "Odd", "fields": FIELDS}))
    source = Source("odd", topic="odd", schema=str(path), time="at")
    return Metric("m", source, [], {"sum": Sum("whole"), "a": Max("labels['a']")})


def jobs(metric: Metric, *bodies: bytes) -> tuple[Job, Job]:
    """A job for each engine: events of one hour, by what comes after their time."""
    records = Records(metric.source.schema.canonical, 1)
    records.offsets += range(len(bodies))
    records.datums += [varint(START) + body for body in bodies]
    _, data = build_object("name", 0, records)
    piece, spans, wanted = (0, 0, records.schema), {START: len(bodies)}, {START: (0,)}
    assert all(START <= span < START + HOUR_MS for span in spans)
    rows = Job(spans, wanted, [Piece(*piece, records_of(data))])
    return rows, Job(spans, wanted, [Piece(*piece, data=data)], "columns")


def test_of_a_key_that_comes_twice_in_a_map_the_last_one_counts(metric: Metric) -> None:
    twice = varint(2) + b"\2a" + varint(9) + b"\2a" + varint(5) + b"\0"
    once = varint(-2) + varint(6) + b"\2b" + varint(7) + b"\2a" + varint(3) + b"\0"
    rows, columns = jobs(metric, varint(1) + twice, varint(1) + once, varint(1) + b"\0")

    folded = fold([metric], rows)

    ((_, _, state),) = folded.totals[0, START]
    assert metric.aggregates[1].present(metric.load(state)[1]).value == 5
    assert fold_columns([metric], columns) == folded


@pytest.mark.parametrize("number", [varint(2**40), varint(7, extra=12), b"\xff" * 9 + b"\x7f"])
def test_hours_with_what_the_columnar_engine_cannot_read_are_counted_by_rows(
    metric: Metric, number: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    rows, columns = jobs(metric, varint(1) + b"\0", number + b"\0")

    with caplog.at_level(logging.WARNING):
        folded = fold_job([metric], columns)

    assert folded == fold_job([metric], rows)
    (said,) = caplog.messages
    assert said.startswith("the row engine counts 1 hours of odd, as the columnar one cannot read")
