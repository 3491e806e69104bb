"""The columnar engine against the row engine: the same totals, to the byte."""

import io
import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastdata import (
    Count,
    Estimate,
    First,
    Frequency,
    Histogram,
    Last,
    Max,
    Mean,
    Metric,
    Min,
    Quantiles,
    Seen,
    Sets,
    Source,
    StdDev,
    Sum,
    TopK,
    Uniques,
    Variance,
)
from fastdata.archive.avro_file import Records, build_object
from fastdata.batch.columnar.engine import fold_columns, is_columnar
from fastdata.batch.engine import choose_engine
from fastdata.batch.job import Job, JobResult, Piece, WindowState
from fastdata.batch.row_engine import fold
from fastdata.coordinates.instants import HOUR_MS, MINUTE_MS, parse_instant
from fastdata.declare.metric import Measure, States
from fastdata.errors import BadEventError, ReplayError
from fastdata.events.decoder import Decoder
from fastdata.events.fieldtypes import FieldType, Kind
from fastdata.events.formats import VALUE_SCHEMA
from fastdata.events.registry import FolderRegistry
from fastdata.events.schema import Schema, encode
from fastdata.measures.aggregate import Aggregate

START = parse_instant("2024-02-29")
# A day of it begins at 03:30 UTC.
NEWFOUNDLAND = "America/St_Johns"
WHOLE = st.sampled_from([0, 1, -1, 7, 2**31 - 1, -(2**31)])
LONG = st.sampled_from([0, 1, -1, 2**63 - 1, -(2**63), 2**32, -(2**32) - 1]) | st.integers(-9, 9)
FLOAT = st.sampled_from([0.0, -0.0, 1.5, -1e300, 1e300, float("inf"), float("-inf")]) | st.floats()
TEXT = st.sampled_from(["", "a", "b", "é", "\U0001f600", "z" * 40])
DECIMAL = st.decimals(-(10**7), 10**7, places=2, allow_nan=False)
MICROS = {"type": "long", "logicalType": "timestamp-micros"}
MONEY = {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}
COLOUR = {"type": "enum", "name": "Colour", "symbols": ["red", "green"]}
TYPES: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "whole": ("int", WHOLE),
    "long": ("long", LONG),
    "real": ("double", FLOAT),
    "single": ("float", st.floats(width=32)),
    "text": ("string", TEXT),
    "flag": ("boolean", st.booleans()),
    "money": (MONEY, DECIMAL),
    "moment": (MICROS, LONG),
    "day": ({"type": "int", "logicalType": "date"}, WHOLE),
    "colour": (COLOUR, st.sampled_from(["red", "green"])),
}


class Given:
    """A measure that keeps all that it is given, as text."""

    code = 200
    kind: Kind = "string"

    def __init__(self, *arguments: str, timed: bool = False) -> None:
        self.arguments, self.timed = arguments, timed

    def __repr__(self) -> str:
        return f"Given({self.arguments}, {self.timed})"

    def bind(self, *types: FieldType) -> Aggregate:
        return self

    def arrow_type(self) -> pa.DataType:
        return pa.string()

    def zero(self, exact: bool = False) -> list[str]:
        return []

    def add(self, state: list[str], value: object) -> list[str]:
        return [*state, repr(value)]

    def merge(self, state: list[str], other: list[str]) -> list[str]:
        return state + other

    def present(self, state: list[str]) -> Estimate:
        return Estimate.exact(self.dump(state).decode())

    def widen(self, estimate: Estimate, events: int) -> Estimate:
        return estimate

    def dump(self, state: list[str]) -> bytes:
        return json.dumps(sorted(state)).encode()

    def load(self, data: bytes) -> list[str]:
        return list(json.loads(data))


class Squares(Sum):
    """A sum that is another one than ours."""

    def bind(self, *types: FieldType) -> Aggregate:
        return Variance("whole").bind(*types)


MEASURES: dict[str, Measure] = {
    "n": Count(),
    "texts": Count("text"),
    "whole": Sum("whole"),
    "long": Sum("long"),
    "real": Sum("real"),
    "money": Sum("money"),
    "mean_long": Mean("long"),
    "mean_single": Mean("single"),
    "mean_money": Mean("money"),
    "low_text": Min("text"),
    "high_text": Max("colour"),
    "low_real": Min("real"),
    "high_real": Max("real"),
    "high_long": Max("long"),
    "low_money": Min("money"),
    "high_moment": Max("moment"),
    "low_day": Min("day"),
    "unique_texts": Uniques("text"),
    "unique_longs": Uniques("long"),
    "unique_moments": Uniques("moment"),
    "variance_long": Variance("long"),
    "variance_real": Variance("real", population=True),
    "variance_money": StdDev("money"),
    "first_real": First("real"),
    "first_text": First("text"),
    "first_moment": First("moment"),
    "last_money": Last("money"),
    "last_flag": Last("flag"),
    "last_day": Last("day"),
    "bins_real": Histogram("real", edges=[-1.5, 0, 2]),
    "bins_money": Histogram("money", edges=[0, Decimal("0.5")]),
    "top_texts": TopK("text", k=2),
    "frequent_longs": Frequency("long"),
    "quantiles_real": Quantiles("real"),
    "quantiles_money": Quantiles("money"),
    "set_days": Sets("day"),
    "seen_texts": Seen("text"),
    "given_none": Given(),
    "given_one": Given("real"),
    "given_two": Given("money", "flag"),
    "given_time": Given(timed=True),
    "given_one_timed": Given("day", timed=True),
    "given_two_timed": Given("text", "single", timed=True),
    "own_sum": Squares("whole"),
}
DIMENSIONS = ("text", "whole", "flag", "moment", "day", "colour")


def schema_of(*, with_new_field: bool = False) -> dict[str, Any]:
    fields: list[dict[str, Any]] = [
        {"name": "id", "type": ["null", "string"]},
        {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}]},
        *({"name": name, "type": ["null", type]} for name, (type, _) in TYPES.items()),
    ]
    if with_new_field:
        fields.append({"name": "new", "type": "string", "default": ""})
    return {"type": "record", "name": "Event", "fields": fields}


EVENTS = st.fixed_dictionaries(
    {
        "id": st.none() | st.sampled_from("abcdef"),
        "at": st.none() | st.sampled_from([-1, 2**60, 0])
        | st.integers(0, 7).map(lambda n: START + n * (HOUR_MS // 2) + n * 7),
        **{name: st.none() | values for name, (_, values) in TYPES.items()},
    }
)  # fmt: skip
# Records with their partition, and whether a newer writer wrote them.
LOGS = st.lists(st.tuples(EVENTS, st.integers(0, 2), st.booleans()), min_size=1, max_size=40)


@pytest.fixture(scope="module")
def source() -> Source:
    path = Path(tempfile.mkdtemp()) / "event.avsc"
    path.write_text(json.dumps(schema_of()))
    return Source(
        "events",
        topic="events",
        schema=str(path),
        time="at",
        id="id",
        segment_size=1_000,
        oldest="1970-01-01",
    )


def jobs(source: Source, log: Sequence[tuple[dict[str, Any], int, bool]]) -> tuple[Job, Job]:
    """All hours of a log, for the row engine and for the columnar one."""
    schemas = [Schema.parse(json.dumps(schema_of(with_new_field=new))) for new in (False, True)]
    decoder = Decoder(source, FolderRegistry(Path(source.place).parent))
    objects: dict[tuple[int, bool], Records] = {}
    spans: Counter[int] = Counter()
    for offset, (event, partition, is_new) in enumerate(log):
        schema = schemas[is_new]
        datum = io.BytesIO()
        fastavro.schemaless_writer(datum, schema.parsed, event | ({"new": "x"} if is_new else {}))
        records = objects.setdefault((partition, is_new), Records(schema.canonical, 1))
        records.offsets.append(offset)
        records.datums.append(datum.getvalue())
        try:
            time = decoder.time_of(event)
        except BadEventError:
            continue
        spans[time - time % HOUR_MS] += 1
    rows, columns = [], []
    for (partition, _), each in sorted(objects.items(), key=lambda item: item[0]):
        _, data = build_object("name", partition, each)
        place = partition, 0, each.schema
        rows.append(Piece(*place, list(zip(each.offsets, each.datums, strict=True))))
        columns.append(Piece(*place, data=data))
    wanted = {span: (0,) if span % (2 * HOUR_MS) else (0, 1) for span in spans}
    return Job(spans, wanted, rows), Job(spans, wanted, columns, "columns")


@settings(max_examples=100, deadline=None)
@given(
    LOGS,
    st.lists(st.sampled_from(DIMENSIONS), unique=True, max_size=3),
    st.lists(st.sampled_from(sorted(MEASURES)), unique=True, min_size=1, max_size=9),
)
def test_both_engines_give_the_same_totals_and_hours(
    source: Source,
    log: Sequence[tuple[dict[str, Any], int, bool]],
    by: Sequence[str],
    names: Sequence[str],
) -> None:
    measures = {f"m_{name}": MEASURES[name] for name in names}
    metric = Metric("one", source, by, measures, rollups=["day"], zone=NEWFOUNDLAND)
    metrics = [metric, Metric("two", source)]
    rows, columns = jobs(source, log)

    assert all(is_columnar(each, {piece.schema for piece in rows.pieces}) for each in metrics)
    folded = fold(metrics, rows)
    assert fold_columns(metrics, columns) == folded
    assert folded.hours == merged(metric, folded)


def merged(metric: Metric, folded: JobResult) -> dict[tuple[int, int], list[WindowState]]:
    """The totals of a first metric, by hour and by day of its zone."""
    cells: dict[tuple[int, int], dict[tuple[int, str], States]] = {}
    for (index, span), rows in folded.totals.items():
        if index:
            continue
        hour = cells.setdefault((index, span), {})
        for window, dims, state in rows:
            day = metric.calendar.day_of(window)
            states = hour.setdefault((day, dims), metric.zero(exact=True))
            metric.merge(states, metric.load(state))
    return {
        key: sorted((day, dims, metric.dump_whole(states)) for (day, dims), states in hour.items())
        for key, hour in cells.items()
    }


@pytest.mark.parametrize(("precision", "is_read"), [(76, True), (77, False)])
def test_decimals_that_arrow_has_not_are_left_to_the_row_engine(
    tmp_path: Path, precision: int, is_read: bool
) -> None:
    number = {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": 0}
    fields = [{"name": "at", "type": "long"}, {"name": "number", "type": number}]
    (tmp_path / "n.avsc").write_text(json.dumps({"type": "record", "name": "N", "fields": fields}))
    source = Source("n", topic="n", schema=str(tmp_path / "n.avsc"), time="at")

    assert is_read is is_columnar(Metric("m", source), [source.schema.canonical])


def test_events_that_are_missing_are_noticed(source: Source) -> None:
    event = dict.fromkeys(TYPES) | {"id": None, "at": START + MINUTE_MS}
    _, job = jobs(source, [(event, 0, False)])
    wrong = Job({START: 2}, {START: (0,)}, job.pieces, "columns")

    with pytest.raises(ReplayError, match="2 events are in the hour of 2024-02-29"):
        fold_columns([Metric("m", source)], wrong)


def test_distinct_values_that_do_not_fit_are_spilled(tmp_path: Path) -> None:
    fields = [{"name": name, "type": "string"} for name in ("id", "user")]
    fields.append({"name": "at", "type": "long"})
    (tmp_path / "e.avsc").write_text(json.dumps({"type": "record", "name": "E", "fields": fields}))
    source = Source("e", topic="e", schema=str(tmp_path / "e.avsc"), time="at", id="id")
    metric = Metric("m", source, measures={"users": Uniques("user"), "last": Last("user")})
    rows, columns = [], []
    for number in range(40):
        records = Records(source.schema.canonical, 1)
        for offset in range(number * 1_000, (number + 1) * 1_000):
            # Every other event is a repeat.
            event = {"id": f"{offset // 2:01000}", "user": f"{offset // 2:01000}", "at": START}
            records.offsets.append(offset)
            records.datums.append(encode(source.schema, event)[5:])
        place = 0, number, records.schema
        rows.append(Piece(*place, list(zip(records.offsets, records.datums, strict=True))))
        columns.append(Piece(*place, data=build_object("name", 0, records)[1]))
    spans, wanted = {START: 40_000}, {START: (0,)}

    # There are 20 MB of different users, which grouping and sorting hold twice.
    folded = fold_columns([metric], Job(spans, wanted, columns), max_bytes=24 << 20)

    assert folded == fold([metric], Job(spans, wanted, rows))
    assert folded.duplicates == {START: 20_000}


def test_without_an_id_every_event_counts(source: Source, tmp_path: Path) -> None:
    (tmp_path / "event.avsc").write_text(json.dumps(schema_of()))
    anonymous = Source("a", topic="a", schema=str(tmp_path / "event.avsc"), time="at")
    event = dict.fromkeys(TYPES) | {"id": "a", "at": START, "money": Decimal("1.00")}
    rows, columns = jobs(source, [(event, 0, False), (event, 0, False)])
    metrics = [Metric("m", anonymous, measures={"n": Count()}), Metric("k", anonymous)]

    folded = fold_columns(metrics, columns)

    assert folded == fold(metrics, rows)
    assert folded.duplicates == {}


def test_a_map_function_is_for_the_row_engine(source: Source, tmp_path: Path) -> None:
    (tmp_path / "event.avsc").write_text(json.dumps(schema_of()))
    mapped = Source("m", topic="m", schema=str(tmp_path / "event.avsc"), time="at")
    mapped.map(lambda event: event)
    metric = Metric("m", mapped)

    assert choose_engine(None, metric, ()) == "rows"
    assert choose_engine("rows", Metric("m", source), ()) == "rows"
    assert choose_engine(None, Metric("m", source), ()) == "columns"
    with pytest.raises(ReplayError, match=r"cannot compute .m. .*map function"):
        choose_engine("columns", metric, ())


@pytest.mark.parametrize(
    "written",
    [
        {"name": "whole", "type": "float"},
        {"name": "whole", "type": ["null", {"type": "int", "logicalType": "time-millis"}]},
        {"name": "other", "type": "int"},
    ],
    ids=["promoted", "another meaning", "missing"],
)
def test_events_that_must_be_resolved_are_for_the_row_engine(
    source: Source, written: dict[str, Any]
) -> None:
    metric = Metric("m", source, measures={"sum": Sum("whole")})
    fields = [f for f in schema_of()["fields"] if f["name"] in ("id", "at")] + [written]
    schema = json.dumps({"type": "record", "name": "Event", "fields": fields})

    assert choose_engine(None, metric, [schema]) == "rows"
    assert choose_engine(None, Metric("m", source), [schema]) == "columns"


def test_values_that_are_no_avro_go_by_rows(tmp_path: Path) -> None:
    fields = [{"name": "timestamp_ms", "type": "long"}]  # as the archive names Kafka's own
    (tmp_path / "e.avsc").write_text(json.dumps({"type": "record", "name": "E", "fields": fields}))
    source = Source(
        "e", topic="e", schema=str(tmp_path / "e.avsc"), time="timestamp_ms", format="json"
    )

    assert choose_engine(None, Metric("m", source), [VALUE_SCHEMA.canonical]) == "rows"


def test_a_type_that_is_named_elsewhere_goes_by_rows(tmp_path: Path) -> None:
    uuid = {"type": "fixed", "name": "Key", "size": 16, "logicalType": "uuid"}
    types = {"at": "long", "key": uuid, "other": "Key"}
    fields = [{"name": name, "type": type} for name, type in types.items()]
    (tmp_path / "e.avsc").write_text(json.dumps({"type": "record", "name": "E", "fields": fields}))
    source = Source("e", topic="e", schema=str(tmp_path / "e.avsc"), time="at")

    for name in ("key", "other"):
        assert choose_engine(None, Metric("m", source, by=[name]), []) == "rows"
