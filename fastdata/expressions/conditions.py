"""Comparisons, conditions, and choices between values."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import chain

from sqlglot import exp

from fastdata.events.fieldtypes import FieldType
from fastdata.expressions.coercion import BOOL, NULL, together
from fastdata.expressions.parsing import NOT, Handlers, Parser, negated
from fastdata.expressions.tree import Call, Literal, Node, Nulls, Operator, always, call, never

__all__ = ["HANDLERS", "OPERATORS"]


def _two(
    name: str, sql: str, plain: str, floats: str, nulls: Nulls = any, form: str = "strict"
) -> dict[str, Operator]:
    """The operator for values as they are, and for floats, of which NaN is the largest.

    Arrow orders floats by their bits: there must be one zero and one NaN.
    """
    argument = "nanvl({} + 0.0, CAST('NaN' AS DOUBLE))"
    return {
        f"plain {name}": Operator(plain, sql, nulls, form=form),
        f"float {name}": Operator(floats, sql, nulls, argument=argument, form=form),
    }


_EQUAL = "({0} == {1} or ({0} != {0} and {1} != {1}))"
_NULLIF = "(None if {0} == {1} else {0})"
_LESS = "({0} < {1} or ({1} != {1} and {0} == {0}))"
_GREATER = "({0} > {1} or ({0} != {0} and {1} == {1}))"
OPERATORS: Mapping[str, Operator] = {
    **_two("=", "({0} = {1})", "{0} == {1}", _EQUAL),
    **_two("<>", "({0} <> {1})", "{0} != {1}", f"not {_EQUAL}"),
    **_two("<", "({0} < {1})", "{0} < {1}", _LESS),
    **_two("<=", "({0} <= {1})", "{0} <= {1}", "({0} <= {1} or {1} != {1})"),
    **_two(">", "({0} > {1})", "{0} > {1}", _GREATER),
    **_two(">=", "({0} >= {1})", "{0} >= {1}", "({0} >= {1} or {0} != {0})"),
    **_two("same", "({0} IS NOT DISTINCT FROM {1})", "({0} == {1})", _EQUAL, never, "open"),
    **_two("nullif", "NULLIF({0}, {1})", _NULLIF, f"(None if {_EQUAL} else {{0}})", always, "open"),
    # In Python, when a later value takes the place of the one before it.
    **_two("greatest", "greatest({all})", "{0} > {1}", _GREATER, all, "extreme"),
    **_two("least", "least({all})", "{0} < {1}", _LESS, all, "extreme"),
    **dict.fromkeys(
        ("plain coalesce", "float coalesce"),
        Operator("", "coalesce({all})", all, form="coalesce"),
    ),
    "plain in": Operator("", "({0} IN ({rest}))", form="in"),
    "float in": Operator("", "(({0} + 0.0) IN ({rest}))", form="in"),
    "is null": Operator("({0} is None)", "({0} IS NULL)", never, form="open"),
    "and": Operator("and", "({0} AND {1})", form="connected"),
    "or": Operator("or", "({0} OR {1})", form="connected"),
}
_SIGNS: Mapping[type[exp.Expr], str] = {
    exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=",
}  # fmt: skip


def _of(name: str, node: Node) -> Operator:
    return OPERATORS[f"{'float' if node.type.kind == 'float' else 'plain'} {name}"]


def _comparison(parser: Parser, tree: exp.Expr) -> Node:
    pair = parser.matched([tree.this, tree.expression])
    return _compared(parser, tree, _SIGNS[type(tree)], pair)


def _compared(parser: Parser, tree: exp.Expr, sign: str, pair: tuple[Node, ...]) -> Node:
    a, b = pair
    if a.type.kind == "bool" and sign not in ("=", "<>"):
        raise parser.refused(tree, "conditions have no order; use = or <>")
    return call(_of(sign, a), BOOL, pair, f"({a.text} {sign} {b.text})")


def _between(parser: Parser, tree: exp.Expr) -> Node:
    # Each pair has its own type, as if it were written as two comparisons.
    low, high = (parser.matched([tree.this, tree.args[bound]]) for bound in ("low", "high"))
    first = _compared(parser, tree, ">=", low)
    return _connected("and", first, _compared(parser, tree, "<=", high))


def _connected(name: str, a: Node, b: Node) -> Node:
    return call(OPERATORS[name], BOOL, (a, b), f"({a.text} {name.upper()} {b.text})")


def _connection(parser: Parser, tree: exp.Expr) -> Node:
    name = type(tree).__name__.lower()
    sides = [parser.condition(t, name.upper()) for t in (tree.this, tree.expression)]
    return _connected(name, *sides)


def _not(parser: Parser, tree: exp.Expr) -> Node:
    return negated(parser.condition(tree.this, "NOT"))


def _is(parser: Parser, tree: exp.Expr) -> Node:
    if not isinstance(tree.expression, exp.Null):
        raise parser.refused(tree, "IS takes NULL; use the condition itself, or NOT")
    node = parser.typed(tree.this)
    return call(OPERATORS["is null"], BOOL, (node,), f"({node.text} IS NULL)")


def _same(parser: Parser, tree: exp.Expr) -> Node:
    a, b = parser.matched([tree.this, tree.expression])
    same = call(_of("same", a), BOOL, (a, b), f"({a.text} IS NOT DISTINCT FROM {b.text})")
    if isinstance(tree, exp.NullSafeEQ):
        return same
    return call(NOT, BOOL, (same,), f"({a.text} IS DISTINCT FROM {b.text})")


def _in(parser: Parser, tree: exp.Expr) -> Node:
    if not tree.expressions:
        raise parser.refused(tree, "IN takes a list of literals, as in IN ('a', 'b')")
    first, *values = parser.matched([tree.this, *tree.expressions])
    for value, part in zip(values, tree.expressions, strict=True):
        if not isinstance(value, Literal) or value.value is None:
            raise parser.refused(part, "IN takes literals that are not NULL; else use = and OR")
    text = ", ".join(value.text for value in values)
    return call(_of("in", first), BOOL, (first, *values), f"({first.text} IN ({text}))")


def _case(parser: Parser, tree: exp.Expr) -> Node:
    conditions, values = [], []
    for branch in tree.args["ifs"]:
        if tree.this is None:
            conditions.append(parser.condition(branch.this, "WHEN"))
        else:
            pair = parser.matched([tree.this, branch.this])
            conditions.append(_compared(parser, branch, "=", pair))
        values.append(parser.typed(branch.args["true"]))
    default = tree.args.get("default")
    values.append(Literal(NULL, None, "NULL") if default is None else parser.typed(default))
    chosen = together(*values)
    nodes = (*chain.from_iterable(zip(conditions, chosen[:-1], strict=True)), chosen[-1])
    whens = [f"WHEN {{{i}}} THEN {{{i + 1}}}" for i in range(0, len(nodes) - 1, 2)]
    sql = f"CASE {' '.join(whens)} ELSE {{{len(nodes) - 1}}} END"
    text = sql.format(*[node.text for node in nodes])
    type = replace(_widest(chosen), nullable=any(v.type.nullable for v in chosen))
    return Call(type, Operator("", sql, form="case"), nodes, text)


def _widest(nodes: Iterable[Node]) -> FieldType:
    return max((n.type for n in nodes), key=lambda type: type.bits)


def _choice(parser: Parser, tree: exp.Expr) -> Node:
    name = type(tree).__name__.lower()
    nodes = parser.matched([tree.this, *tree.expressions])
    if name != "coalesce" and nodes[0].type.kind == "bool":
        instead = "OR" if name == "greatest" else "AND"
        raise parser.refused(tree, f"conditions have no order; use {instead}")
    text = f"{name.upper()}({', '.join(n.text for n in nodes)})"
    return call(_of(name, nodes[0]), _widest(nodes), nodes, text)


def _nullif(parser: Parser, tree: exp.Expr) -> Node:
    a, b = parser.matched([tree.this, tree.expression])
    return call(_of("nullif", a), a.type, (a, b), f"NULLIF({a.text}, {b.text})")


_TWO = {"this", "expression"}
HANDLERS: Handlers = {
    **dict.fromkeys(_SIGNS, (_comparison, _TWO)),
    **dict.fromkeys((exp.And, exp.Or), (_connection, _TWO)),
    **dict.fromkeys((exp.NullSafeEQ, exp.NullSafeNEQ), (_same, _TWO)),
    **dict.fromkeys((exp.Coalesce, exp.Greatest, exp.Least), (_choice, {"this", "expressions"})),
    exp.Not: (_not, {"this"}),
    exp.Is: (_is, _TWO),
    exp.In: (_in, {"this", "expressions"}),
    exp.Between: (_between, {"this", "low", "high"}),
    exp.Case: (_case, {"this", "ifs", "default"}),
    exp.Nullif: (_nullif, _TWO),
}
