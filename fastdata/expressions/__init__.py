"""Expressions of events: field names or SQL text, typed by the schema, for both engines alike."""

from fastdata.expressions.coercion import describe
from fastdata.expressions.keys import is_too_long
from fastdata.expressions.reading import parse_expression
from fastdata.expressions.rows import (
    ExpressionRows,
    RowCode,
    Selection,
    compile_rows,
    compile_value,
    row_code,
)
from fastdata.expressions.sql import ELEMENT, is_too_large, quote_name, to_sql
from fastdata.expressions.tree import Column, Node, array_of, nodes_of

__all__ = [
    "ELEMENT",
    "Column",
    "ExpressionRows",
    "Node",
    "RowCode",
    "Selection",
    "array_of",
    "compile_rows",
    "compile_value",
    "describe",
    "is_too_large",
    "is_too_long",
    "nodes_of",
    "parse_expression",
    "quote_name",
    "row_code",
    "to_sql",
]
