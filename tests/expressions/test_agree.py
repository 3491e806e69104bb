"""Both engines give every expression the same value, to the bit."""

import math
import os
import struct
from decimal import Decimal

import pyarrow as pa
from datafusion import SessionContext
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fastdata.errors import DeclarationError
from fastdata.events.fieldtypes import FieldType
from fastdata.expressions import Node, compile_value, parse_expression, to_sql
from tests.expressions.expression_texts import EVENTS, EXPRESSIONS, FIELDS

EXAMPLES = int(os.environ.get("FASTDATA_TEST_EXAMPLES", "150"))


def column_type(field: FieldType) -> pa.DataType:
    match field.kind:
        case "int":
            return pa.int32() if field.bits == 32 else pa.int64()
        case "float":
            return pa.float64()
        case "decimal":
            return pa.decimal128(field.precision, field.scale)
        case "bool":
            return pa.bool_()
        case "timestamp":
            return pa.timestamp(field.unit, tz="UTC")
        case "date":
            return pa.date32()
        case "record":
            return pa.struct([(name, column_type(inner)) for name, inner in field.fields])
        case "array":
            assert field.items is not None
            return pa.list_(column_type(field.items))
        case "map":
            assert field.items is not None
            return pa.map_(pa.string(), column_type(field.items))
    return pa.string()


SCHEMA = pa.schema([(name, column_type(field)) for name, field in FIELDS.items()])
SCHEMA = SCHEMA.set(
    SCHEMA.get_field_index("Kind"), pa.field("Kind", pa.dictionary(pa.int32(), pa.string()))
)


def table_of(events: list[dict[str, object]]) -> pa.Table:
    columns = []
    for field in SCHEMA:
        values = [event[field.name] for event in events]
        if pa.types.is_map(field.type):
            values = [None if v is None else list(v.items()) for v in values]  # type: ignore[attr-defined]
        if pa.types.is_date32(field.type) or pa.types.is_timestamp(field.type):
            plain = pa.int32() if pa.types.is_date32(field.type) else pa.int64()
            columns.append(pa.array(values, plain).cast(field.type))
        else:
            columns.append(pa.array(values, field.type))
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def expected_type(node: Node) -> pa.DataType:
    type = node.type
    return pa.int64() if type.kind in ("int", "timestamp", "date") else column_type(type)


def bits(value: object) -> object:
    """What is equal only for what is the same; there is one NaN."""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else struct.pack("<d", value)
    if isinstance(value, Decimal):
        return value
    return type(value).__name__, value


def context_of(events: list[dict[str, object]]) -> SessionContext:
    context = SessionContext()
    context.register_record_batches("events", [table_of(events).to_batches()])
    return context


def answers(nodes: list[Node], events: list[dict[str, object]]) -> list[list[object]]:
    context = context_of(events)
    columns = ", ".join(f"{to_sql(node)} AS r{i}" for i, node in enumerate(nodes))
    table = context.sql(f"SELECT {columns} FROM events").to_arrow_table()
    found = []
    for node, column in zip(nodes, table.columns, strict=True):
        assert column.type in (expected_type(node), pa.string_view()), node.text
        found.append(column.to_pylist())
    return found


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    texts=st.lists(EXPRESSIONS, min_size=1, max_size=4),
    events=st.lists(EVENTS, min_size=1, max_size=6),
)
def test_python_and_datafusion_agree(texts: list[str], events: list[dict[str, object]]) -> None:
    nodes = []
    for text in texts:
        try:
            nodes.append(parse_expression(text, FIELDS, "test"))
        except DeclarationError as error:
            if not any(words in str(error) for words in ("digits", "NULL alone")):
                raise
    if not nodes:
        return
    for node, column in zip(nodes, answers(nodes, events), strict=True):
        value = compile_value(node)
        for event, theirs in zip(events, column, strict=True):
            ours = value(event)
            # A field alone keeps the sign of zero.
            same = [v + 0.0 if isinstance(v, float) else v for v in (theirs, ours)]
            assert (node.text, bits(same[0])) == (node.text, bits(same[1])), event
            assert theirs is not None or node.type.nullable, node.text


@settings(max_examples=EXAMPLES, deadline=None)
@given(text=EXPRESSIONS)
@example(text="not (0.00 between price and rate)")
@example(text="-(-0)")
@example(text="-(-(-0e0))")
@example(text="-(-0.00)")
@example(text="-(-(5))")
def test_the_canonical_text_means_the_same(text: str) -> None:
    try:
        node = parse_expression(text, FIELDS, "test")
    except DeclarationError:
        return

    again = parse_expression(node.text, FIELDS, "test")

    assert (again.text, to_sql(again)) == (node.text, to_sql(node))
