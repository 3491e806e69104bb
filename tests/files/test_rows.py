"""Rows of each format, and what is wrong with some."""

import datetime as dt
import io
from decimal import Decimal
from typing import Any, BinaryIO

import fastavro
import pyarrow as pa
import pytest
from pyarrow import parquet

from fastdata.errors import FastdataError
from fastdata.files.names import fitted_names
from fastdata.files.opening import format_of, open_events
from fastdata.files.rows import FileRow, dump_object
from fastdata.files.sample import Sample, take_sample
from fastdata.files.types import file_fields


def stream(data: bytes) -> BinaryIO:
    return io.BufferedReader(io.BytesIO(data))


def sample(data: bytes, rows: int = 10_000) -> Sample:
    return take_sample(stream(data), "x", rows=rows)


def rows(data: bytes) -> list[FileRow]:
    return list(open_events(stream(data)).rows())


def test_lines_of_json_that_are_no_objects_are_told_by_number() -> None:
    found = rows(b'{"a": 1}\n\n[2]\n{"a": NaN}\n{"a": \n{"a": "\xff"}\n{"a": 3}')

    assert [(row.number, row.fields) for row in found] == [
        (1, {"a": 1}), (3, None), (4, None), (5, None), (6, None), (7, {"a": 3}),
    ]  # fmt: skip
    assert found[1].problem == "it is no JSON object but list"
    assert found[2].problem == "it is no JSON: NaN is no number of JSON"


@pytest.mark.parametrize(
    "data",
    [
        b"a,b\n1,x\n",
        b"a;b\r\n1;x\r\n",
        b"a\tb\n1\tx",
        b"\xef\xbb\xbfa|b\n1|x\n",
        b'"a",b\n"1",x\n\n',
    ],
)
def test_the_delimiter_of_csv_is_that_of_its_header(data: bytes) -> None:
    assert rows(data) == [FileRow(2, {"a": "1", "b": "x"})]


def test_rows_of_csv_that_do_not_fit_the_header_are_told_by_line() -> None:
    found = rows(b'a,b\n1,"x\ny"\n2\n3,z,1\n\xff,z\n4,"')

    assert [(row.number, row.problem) for row in found] == [
        (3, ""),
        (4, "it has 1 cells, and the header has 2"),
        (5, "it has 3 cells, and the header has 2"),
        (6, "it is no UTF-8"),
        (7, ""),
    ]


def test_columns_without_names_or_with_the_same_are_numbered() -> None:
    assert rows(b"a,,a,a_3\n1,2,3,4\n")[0].fields == {
        "a": "1", "column_2": "2", "a_3_3": "3", "a_3": "4",
    }  # fmt: skip


def test_unfit_keys_have_names_that_avro_takes() -> None:
    assert fitted_names(["order no.", "2nd", "ID", "id", "Größe", "class", "", "a.b", "_x"]) == {
        "order no.": "order_no", "2nd": "field_2nd", "ID": "ID", "id": "id_2", "Größe": "Gr_e",
        "class": "class", "": "field", "a.b": "a_b", "_x": "_x",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "there is nothing in it"),
        (b'[{"a": 1}]', "one JSON array"),
        (b"\x1f\x8b\x08", "compressed"),
        (b"PAR1 and nothing else", "no Parquet"),
        (b"Obj\x01 and nothing else", "no Avro container"),
        (b'{"a": "' + b"x" * (1 << 20) + b'"}', "longer than 1048576 bytes"),
        (b"{\n{\n", "no row of it can be read; line 1: it is no JSON"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(data: bytes, message: str) -> None:
    with pytest.raises(FastdataError, match=message):
        sample(data)


@pytest.mark.parametrize("form", ["json", "csv"])
def test_a_large_file_is_read_all_over(form: str) -> None:
    line = '{{"n": {}}}\n' if form == "json" else "{},x\n"
    header = "" if form == "json" else "n,x\n"
    data = header + "".join(line.format(number) for number in range(100_000))

    taken = sample(data.encode(), rows=1_000)

    numbers = [int(row["n"]) for row in taken.rows]
    assert not taken.is_whole
    assert taken.bad == 0
    assert len(numbers) == len(set(numbers)) == 1_001 + 20 * 500
    assert {number // 5_000 for number in numbers} == set(range(20))


def test_csv_whose_cells_span_lines_is_read_at_its_beginning_only() -> None:
    data = b"n,x\n" + b'1,"a\nb"\n' * 5_000

    assert len(sample(data, rows=1_000).rows) == 1_001


def test_a_pipe_is_read_at_its_beginning_only() -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    data = b'{"n": 1}\n' * 5_000
    taken = take_sample(Pipe(data), "x", "json", rows=1_000)

    assert (len(taken.rows), taken.is_whole) == (1_001, False)


def parquet_of(**columns: Any) -> bytes:
    out = io.BytesIO()
    parquet.write_table(pa.table(columns), out, row_group_size=100)
    return out.getvalue()


DAY = dt.date(2024, 2, 29)
NOON = dt.datetime(2024, 2, 29, 12)  # noqa: DTZ001
PARQUET = [
    (pa.array([1], pa.int16()), 1, "int"),
    (pa.array([1], pa.uint32()), 1, "long"),
    (pa.array([1], pa.uint64()), 1, "long"),
    (pa.array([1.5], pa.float32()), 1.5, "float"),
    (pa.array(["a"], pa.large_string()), "a", "string"),
    (pa.array(["a"]).dictionary_encode(), "a", "string"),
    (pa.array([b"a"]), b"a", "bytes"),
    (pa.array([True]), True, "boolean"),
    (pa.array([DAY]), 19_782, {"type": "int", "logicalType": "date"}),
    (
        pa.array([NOON], pa.timestamp("s")),
        1_709_208_000_000,
        {"type": "long", "logicalType": "local-timestamp-millis"},
    ),
    (
        pa.array([NOON], pa.timestamp("ns", "Europe/Berlin")),
        1_709_208_000_000_000,
        {"type": "long", "logicalType": "timestamp-micros"},
    ),
    (
        pa.array([dt.time(1, 2, 3)]),
        3_723_000_000,
        {"type": "long", "logicalType": "time-micros"},
    ),
    (
        pa.array([Decimal("1.50")], pa.decimal128(5, 2)),
        Decimal("1.50"),
        {"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 2},
    ),
    (pa.array([[1, None]]), [1, None], {"type": "array", "items": ["null", "long"]}),
    (
        pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())),
        {"a": 1},
        {"type": "map", "values": ["null", "long"]},
    ),
    (
        pa.array([{"a b": NOON}], pa.struct([("a b", pa.timestamp("ns"))])),
        {"a b": 1_709_208_000_000_000},
        {"type": "record", "name": "Row.x", "fields": [
            {"name": "a_b", "json": "a b", "default": None, "type": ["null", {
                "type": "long", "logicalType": "local-timestamp-micros"}]}]},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("column", "value", "type"), PARQUET, ids=lambda part: None)
def test_types_of_parquet(column: pa.Array, value: object, type: object) -> None:
    data = parquet_of(x=column)

    (field,) = file_fields(sample(data))
    assert [row.fields for row in rows(data)] == [{"x": value}]
    assert (field.type, field.is_nullable) == (type, False)


def test_a_parquet_file_of_many_groups_is_read_all_over() -> None:
    data = parquet_of(n=list(range(10_000)), none=pa.nulls(10_000))

    taken = sample(data, rows=100)
    numbers = [row["n"] for row in taken.rows]
    assert {number // 1_000 for number in numbers} == set(range(10))
    assert [field.type for field in file_fields(taken)] == ["long", None]


def test_an_avro_container_keeps_its_schema() -> None:
    node: dict[str, Any] = {"type": "record", "name": "shop.Order", "fields": [
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 6,
                                   "scale": 2}},
        {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["NEW", "PAID"]}},
        {"name": "who", "type": ["null", "string"]},
        {"name": "mixed", "type": ["string", "long"]},
    ]}  # fmt: skip
    out = io.BytesIO()
    price = Decimal("1.50")
    order = {"at": 5, "price": price, "state": "NEW", "who": "x", "mixed": 1}
    fastavro.writer(out, node, [order, order], codec="deflate")

    taken = sample(out.getvalue())
    fields = file_fields(taken)

    assert taken.rows == [order, order]
    assert taken.declared is not None
    assert taken.declared["name"] == "shop.Order"
    assert [field.type for field in fields] == [
        *(field["type"] for field in node["fields"][:3]), "string", None,
    ]  # fmt: skip
    assert [field.is_nullable for field in fields] == [False, False, False, True, False]


def test_a_damaged_container_says_how_far_it_can_be_read() -> None:
    out = io.BytesIO()
    node = {"type": "record", "name": "X", "fields": [{"name": "a", "type": "long"}]}
    fastavro.writer(out, node, [{"a": number} for number in range(10)])

    with pytest.raises(FastdataError, match="damaged at row"):
        rows(out.getvalue()[:-10])


def test_objects_have_what_json_has() -> None:
    row = {"a": b"\0\xff", "b": Decimal("1.50"), "c": [float("nan"), 1.5], "d": float("inf")}

    assert dump_object(row) == b'{"a":"AP8=","b":"1.50","c":[null,1.5],"d":null}'


def test_a_look_at_the_format_takes_nothing() -> None:
    file = io.BufferedReader(io.BytesIO(b'  {"a": 1}'))

    assert (format_of(file), file.read()) == ("json", b'  {"a": 1}')
