"""From Arrow to the values of SQL."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from sqlalchemy import MetaData, Table
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.schema import CreateTable

from fastdata import Mean, Metric, Sum
from fastdata.errors import ExportError
from fastdata.exports.sql_columns import columns_of, records_of
from fastdata.exports.table import flat_table
from tests.answer.trips import declare_source

ITEM = pa.struct([("item", pa.string()), ("count", pa.int64())])
SCHEMA = pa.schema(
    [
        ("window_start", pa.timestamp("ms", tz="UTC")),
        ("when", pa.timestamp("us", tz="UTC")),
        ("day", pa.date32()),
        ("is_night", pa.bool_()),
        ("fare", pa.decimal128(38, 2)),
        ("share", pa.float64()),
        ("top", pa.list_(ITEM)),
        ("p", pa.list_(pa.float64())),
    ]
)
NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)


def row(**values: object) -> pa.Table:
    given = {"window_start": NOON, **values}
    arrays = [pa.array([given.get(field.name)], field.type) for field in SCHEMA]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def record(is_exact: bool = True, has_nan: bool = True, **values: object) -> dict[str, object]:
    [found] = records_of(row(**values), ["day"], is_exact, has_nan)
    return found


def test_each_type_has_a_column() -> None:
    table = Table("t", MetaData(), *columns_of(SCHEMA))
    on_postgres = str(CreateTable(table).compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]
    on_sqlite = str(CreateTable(table).compile(dialect=sqlite.dialect()))
    for part in (
        "window_start TIMESTAMP WITH TIME ZONE NOT NULL",
        "day DATE",
        "is_night BOOLEAN",
        "fare NUMERIC(38, 2)",
        "share DOUBLE PRECISION",
        "top JSONB",
        "PRIMARY KEY (window_start, row_key)",
    ):
        assert part in on_postgres
    on_mysql = str(CreateTable(table).compile(dialect=mysql.dialect()))
    for part in (
        "window_start DATETIME(6) NOT NULL",
        "fare NUMERIC(38, 2)",
        "share DOUBLE",
        "top JSON",
        "row_key VARCHAR(64) COLLATE utf8mb4_bin NOT NULL",
        "PRIMARY KEY (window_start, row_key)",
    ):
        assert part in on_mysql
    for part in ("fare DOUBLE", "top JSON", "day DATE"):
        assert part in on_sqlite


def test_a_type_without_a_counterpart_is_refused() -> None:
    with pytest.raises(ExportError, match="'x' has the type duration"):
        columns_of(pa.schema([("x", pa.duration("ms"))]))


def test_values_keep_their_types() -> None:
    found = record(when=NOON, day=date(2013, 1, 1), is_night=True, fare=Decimal("1.20"), share=0.5)
    assert (NOON, date(2013, 1, 1), True, Decimal("1.20"), 0.5) == tuple(
        found[name] for name in ("when", "day", "is_night", "fare", "share")
    )


def test_decimals_are_floats_where_there_are_none() -> None:
    assert 1.2 == record(is_exact=False, fare=Decimal("1.20"))["fare"]


def test_lists_are_json() -> None:
    found = record(top=[{"item": "a\0", "count": 3}], p=[0.5, float("nan"), None])
    assert [{"item": "a\N{REPLACEMENT CHARACTER}", "count": 3}] == found["top"]
    assert [0.5, "nan", None] == found["p"]


def test_an_instant_that_no_calendar_has_is_null() -> None:
    table = row(day=None).set_column(1, SCHEMA.field(1), pa.array([1 << 60], SCHEMA.field(1).type))
    assert records_of(table, ["day"], True)[0]["when"] is None


def test_null_is_another_key_than_any_value() -> None:
    keys = [record(day=day)["row_key"] for day in (None, date(1970, 1, 1), date(1970, 1, 2))]
    assert 3 == len(set(keys))
    assert keys[1] == record(day=date(1970, 1, 1))["row_key"]


def test_the_columns_are_those_of_the_answer(tmp_path: Path) -> None:
    metric = Metric(
        "rides",
        declare_source(tmp_path),
        by=["day", "is_night", "city"],
        measures={"fare": Sum("fare"), "mean": Mean("km")},
    )
    schema = flat_table(metric, "1h", has_bounds=False).schema
    assert [
        "window_start",
        "window_end",
        "day",
        "is_night",
        "city",
        "fare",
        "mean",
    ] == schema.names[:7]
    assert ["layer", "exact", "read_until", "updated_at"] == schema.names[7:]
    assert (pa.date32(), pa.bool_()) == (schema.field("day").type, schema.field("is_night").type)
    assert pa.decimal128(38, 2) == schema.field("fare").type


@pytest.mark.parametrize("share", [float("nan"), float("inf"), -float("inf")])
def test_a_float_that_is_no_number_is_null_where_none_is_known(share: float) -> None:
    assert record(has_nan=False, share=share)["share"] is None
    assert record(has_nan=False, share=0.5)["share"] == 0.5
    assert record(share=float("inf"))["share"] == float("inf")
