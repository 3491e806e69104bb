"""The table of all operators and functions of the subset, and the parts that are not computed."""

from dataclasses import replace

from sqlglot import exp

from fastdata.events.fieldtypes import FieldType
from fastdata.expressions import conditions, moments, numbers, texts
from fastdata.expressions.casts import cast
from fastdata.expressions.coercion import BOOL, NULL, describe
from fastdata.expressions.parsing import Function, Handlers, Parser
from fastdata.expressions.refusals import unknown_function
from fastdata.expressions.tree import Literal, Node, Operator, call

__all__ = ["HANDLERS"]


def _array(parser: Parser, tree: exp.Expr, taker: str) -> Node:
    node = parser.typed(tree)
    if node.type.kind != "array":
        raise parser.refused(tree, f"{taker} takes an array, not {describe(node.type)}")
    return node


_CARDINALITY = Function(
    "cardinality",
    FieldType("int", bits=33),
    {"expressions": _array},
    Operator("len({0})", "CAST(cardinality({0}) AS BIGINT)"),
)
_CONTAINS = Operator(
    "{1} in {0}", "CASE WHEN {0} IS NULL OR {1} IS NULL THEN NULL ELSE array_has({0}, {1}) END"
)


def _array_contains(parser: Parser, tree: exp.Expr) -> Node:
    array, value = parser.typed(tree.this), parser.typed(tree.expression)
    items = array.type.items
    if array.type.kind != "array" or items is None or items.kind not in ("string", "int"):
        raise parser.refused(tree.this, "array_contains takes an array of strings or integers")
    if value.type.kind != items.kind:
        raise parser.refused(
            tree.expression, f"the array holds {describe(items)}, not {describe(value.type)}"
        )
    return call(_CONTAINS, BOOL, (array, value), f"ARRAY_CONTAINS({array.text}, {value.text})")


_NAMED = {
    function.name: function for function in (_CARDINALITY, *moments.FUNCTIONS, *texts.FUNCTIONS)
}


def _named(parser: Parser, tree: exp.Expr) -> Node:
    """A function that sqlglot does not know."""
    name = str(tree.this).lower()
    if name not in _NAMED:
        raise parser.refused(tree, unknown_function(name))
    if len(tree.expressions) != 1:
        raise parser.refused(tree, f"{name} takes one argument")
    return _NAMED[name](parser, tree)


def _boolean(parser: Parser, tree: exp.Expr) -> Node:
    return Literal(BOOL, bool(tree.this), "TRUE" if tree.this else "FALSE")


def _null(parser: Parser, tree: exp.Expr) -> Node:
    return Literal(NULL, None, "NULL")


def _dot(parser: Parser, tree: exp.Expr) -> Node:
    return parser.inside(parser.typed(tree.this), tree.expression)


HANDLERS: Handlers = {
    **numbers.HANDLERS,
    **conditions.HANDLERS,
    **texts.HANDLERS,
    **moments.HANDLERS,
    **dict.fromkeys((exp.Cast, exp.TryCast), (cast, {"this", "to"})),
    exp.ArraySize: (replace(_CARDINALITY, takes={"this": _array}), {"this"}),
    exp.ArrayContains: (_array_contains, {"this", "expression"}),
    exp.Anonymous: (_named, {"this", "expressions"}),
    exp.Column: (Parser.name, {"this", "table", "db", "catalog"}),
    exp.Identifier: (Parser.name, {"this"}),
    exp.Dot: (_dot, {"this", "expression"}),
    exp.Bracket: (Parser.key, {"this", "expressions"}),
    exp.Explode: (Parser.unnested, {"this"}),
    exp.Literal: (Parser.literal, {"this"}),
    exp.Boolean: (_boolean, {"this"}),
    exp.Null: (_null, set()),
}
