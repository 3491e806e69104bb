"""The columnar engine against the row engine: random expressions, and fields of any type."""

import io
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import fastavro
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastdata import (
    Count,
    First,
    Frequency,
    Histogram,
    Last,
    Max,
    Mean,
    Metric,
    Min,
    Quantiles,
    Sets,
    Source,
    Sum,
    TopK,
    Uniques,
    Variance,
)
from fastdata.archive.avro_file import Records, build_object
from fastdata.batch.columnar.engine import fold_columns, is_columnar
from fastdata.batch.job import Job, Piece
from fastdata.batch.row_engine import fold
from fastdata.coordinates.instants import parse_instant
from fastdata.declare.metric import Measure
from fastdata.errors import DeclarationError
from fastdata.events.schema import encode
from tests.expressions.expression_texts import EVENTS as EXPRESSED
from tests.expressions.expression_texts import FIELDS, SCALARS, texts
from tests.support.avro import types

START = parse_instant("2024-02-29")
MICROS = {"type": "long", "logicalType": "timestamp-micros"}
_DIMENSIONS = ("string", "int", "bool", "timestamp", "date")
AVRO: dict[str, Any] = {
    "i": "long",
    "j": "long",
    "small": "int",
    "tiny": "int",
    "x": "double",
    "y": "double",
    "price": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 3},
    "rate": {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 1},
    "s": "string",
    "t": "string",
    "Kind": "string",
    "ok": "boolean",
    "sure": "boolean",
    "at": {"type": "long", "logicalType": "timestamp-millis"},
    "seen": MICROS,
    "day": {"type": "int", "logicalType": "date"},
    "user": {
        "type": "record",
        "name": "User",
        "fields": [{"name": "id", "type": "string"}, {"name": "age", "type": ["null", "int"]}],
    },
    "labels": {"type": "map", "values": ["null", "string"]},
    "tags": {"type": "array", "items": "string"},
    "items": {
        "type": "array",
        "items": {
            "type": "record",
            "name": "Item",
            "fields": [{"name": "n", "type": ["null", "long"]}, {"name": "name", "type": "string"}],
        },
    },
}
NUMBERS, ORDERED = ("int", "float", "decimal"), ("int", "float", "decimal", "string", "timestamp")
COUNTED = ("string", "int", "timestamp", "date")
OF: list[tuple[Callable[[str], Measure], Sequence[str]]] = [
    (Count, SCALARS),
    *((kind, NUMBERS) for kind in (Sum, Mean, Variance)),
    *((kind, ORDERED) for kind in (Min, Max, First, Last)),
    *((kind, COUNTED) for kind in (Uniques, Sets)),
    (lambda text: Histogram(text, edges=[0, 1]), ("int", "float")),
    (Quantiles, ("int", "float")),
    *((kind, ("string", "int")) for kind in (TopK, Frequency)),
]
ELEMENTS = {"int": "unnest(items).n", "string": "unnest(items).name"}


@st.composite
def measures(draw: st.DrawFn, is_unnested: bool) -> Measure:
    """A measure of a random expression."""
    make, kinds = draw(st.sampled_from(OF))
    kind = draw(st.sampled_from(kinds))
    if is_unnested and kind in ELEMENTS and draw(st.booleans()):
        return make(ELEMENTS[kind])
    return make(draw(texts(kind, 1)))


@st.composite
def metrics(draw: st.DrawFn, source: Source) -> Metric | None:
    """A metric of random expressions; None when one of them is refused."""
    is_unnested = draw(st.booleans())
    names = [f"d{n}" for n in range(draw(st.integers(0, 2)))]
    by = {name: draw(st.sampled_from(COUNTED).flatmap(lambda k: texts(k, 2))) for name in names}
    if is_unnested:
        by["element"] = ELEMENTS["string"]
    some = draw(st.lists(measures(is_unnested), min_size=1, max_size=4))
    where = draw(st.none() | texts("bool", 2))
    try:
        return Metric("m", source, by, {f"m{n}": each for n, each in enumerate(some)}, where)
    except DeclarationError as error:
        if any(words in str(error) for words in ("digits", "NULL alone")):
            return None
        raise


@pytest.fixture(scope="module")
def rich() -> Source:
    fields = [
        {"name": name, "type": ["null", type] if FIELDS[name].nullable else type}
        for name, type in AVRO.items()
    ]
    path = Path(tempfile.mkdtemp()) / "rich.avsc"
    path.write_text(json.dumps({"type": "record", "name": "Rich", "fields": fields}))
    return Source("rich", topic="rich", schema=str(path), time="at", segment_size=1_000)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.data())
def test_both_engines_mean_the_same_by_expressions(rich: Source, data: st.DataObject) -> None:
    metric = data.draw(metrics(rich))
    events = data.draw(st.lists(EXPRESSED, min_size=1, max_size=8))
    at = data.draw(st.lists(st.sampled_from([START, START + 90_000]), min_size=8, max_size=8))
    if metric is None:
        return
    log = [event | {"at": time} for event, time in zip(events, at, strict=False)]
    schema = rich.schema
    records = Records(schema.canonical, 1)
    for offset, event in enumerate(log):
        datum = io.BytesIO()
        fastavro.schemaless_writer(datum, schema.parsed, event)
        records.offsets.append(offset)
        records.datums.append(datum.getvalue())
    place = 0, 0, schema.canonical
    rows = Piece(*place, list(enumerate(records.datums)))
    columns = Piece(*place, data=build_object("name", 0, records)[1])
    spans, wanted = {START: len(log)}, {START: (0,)}

    assert is_columnar(metric, [schema.canonical]) or len(metric.selection.nodes) > 1
    assert fold_columns([metric], Job(spans, wanted, [columns])) == fold(
        [metric], Job(spans, wanted, [rows])
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_fields_of_any_type_are_read_or_left_to_the_row_engine(data: st.DataObject) -> None:
    some = data.draw(st.lists(types({"number": 0, "records": []}), min_size=1, max_size=3))
    fields = [{"name": f"f{n}", "type": each.declared} for n, each in enumerate(some)]
    timed = [{"name": "at", "type": "long"}, {"name": "first", "type": "string"}, *fields]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "any.avsc")
        path.write_text(json.dumps({"type": "record", "name": "Any", "fields": timed}))
        source = Source("a", topic="a", schema=str(path), time="at", id="first")
    names = [n for n, type in source.schema.fields.items() if type.kind in _DIMENSIONS]
    metric = Metric("m", source, by={f"d{n}": name for n, name in enumerate(names)})
    if not is_columnar(metric, [source.schema.canonical]):
        return
    records = Records(source.schema.canonical, 1)
    for offset in range(data.draw(st.integers(1, 5))):
        event = {f"f{n}": data.draw(each.values) for n, each in enumerate(some)}
        event |= {"at": START, "first": data.draw(st.sampled_from("ab"))}
        records.offsets.append(offset)
        records.datums.append(encode(source.schema, event)[5:])
    place, spans, wanted = (0, 0, records.schema), {START: len(records.offsets)}, {START: (0,)}
    rows = Piece(*place, list(enumerate(records.datums)))
    columns = Piece(*place, data=build_object("name", 0, records)[1])

    assert fold_columns([metric], Job(spans, wanted, [columns])) == fold(
        [metric], Job(spans, wanted, [rows])
    )
