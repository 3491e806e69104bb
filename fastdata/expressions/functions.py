"""The operators and functions of the subset: how each kind of tree becomes a typed node.

`HANDLERS` is the table of all of them. A handler types the operands, picks the operator of
`operators` that computes the result, and writes the canonical text.
"""

from collections.abc import Mapping
from dataclasses import replace

from sqlglot import exp

from fastdata.events.fieldtypes import FieldType
from fastdata.expressions.casts import cast
from fastdata.expressions.coercion import (
    BOOL,
    FLOAT,
    INT,
    NULL,
    NUMBERS,
    MismatchError,
    as_decimal,
    convert,
    decimal_type,
    describe,
    is_null,
    together,
)
from fastdata.expressions.moments import HANDLERS as MOMENTS
from fastdata.expressions.moments import shifted
from fastdata.expressions.operators import call
from fastdata.expressions.parsing import Handler, Parser, negated
from fastdata.expressions.texts import HANDLERS as TEXTS
from fastdata.expressions.tree import Call, Literal, Node, or_null

__all__ = ["HANDLERS"]

_SIGNS: Mapping[type[exp.Expr], tuple[str, str]] = {
    exp.Add: ("add", "+"), exp.Sub: ("sub", "-"), exp.Mul: ("mul", "*"), exp.Div: ("div", "/"),
    exp.Mod: ("mod", "%"), exp.EQ: ("eq", "="), exp.NEQ: ("ne", "<>"), exp.LT: ("lt", "<"),
    exp.LTE: ("le", "<="), exp.GT: ("gt", ">"), exp.GTE: ("ge", ">="),
}  # fmt: skip


def _arithmetic(parser: Parser, tree: exp.Expr) -> Node:
    name, sign = _SIGNS[type(tree)]
    if name in ("add", "sub") and isinstance(tree.expression, exp.Interval):
        return shifted(parser, tree, sign)
    if name == "add" and isinstance(tree.this, exp.Interval):
        raise parser.refused(tree, "the interval comes second, as in at + INTERVAL '1 day'")
    a, b = parser.typed(tree.this), parser.typed(tree.expression)
    for node, part in ((a, tree.this), (b, tree.expression)):
        if node.type.kind in ("timestamp", "date"):
            raise parser.refused(
                tree, "of timestamps and dates only an interval can be added or subtracted; "
                "epoch_ms(...) is a number"
            )  # fmt: skip
        if node.type.kind not in NUMBERS and not is_null(node):
            hint = "; || puts texts together" if node.type.kind == "string" else ""
            raise parser.refused(part, f"{sign} takes numbers, not {describe(node.type)}{hint}")
    a, b = _typed_null(a, b), _typed_null(b, a)
    return _number(name, a, b, f"({a.text} {sign} {b.text})")


def _typed_null(node: Node, other: Node) -> Node:
    if node.type != NULL:
        return node
    return convert(node, INT if other.type == NULL else other.type)


def _number(name: str, a: Node, b: Node, text: str) -> Node:
    kinds = {a.type.kind, b.type.kind}
    if "float" in kinds or (name == "div" and "decimal" in kinds):
        if name == "mod":
            raise MismatchError("% takes integers; CAST or TRY_CAST to BIGINT first")
        return call(f"float.{name}", FLOAT, (convert(a, FLOAT), convert(b, FLOAT)), text)
    if kinds == {"int"}:
        return _whole(name, a, b, text)
    if name == "mod":
        raise MismatchError("% takes integers; TRY_CAST to BIGINT first")
    left, right = as_decimal(a.type), as_decimal(b.type)
    if name == "mul":
        type = decimal_type(left.precision + right.precision, left.scale + right.scale)
        return call("decimal.mul", type, (convert(a, left), convert(b, right)), text)
    scale = max(left.scale, right.scale)
    whole = max(left.precision - left.scale, right.precision - right.scale)
    type = decimal_type(whole + scale + 1, scale)
    return call(f"decimal.{name}", type, (convert(a, left), convert(b, right)), text)


def _whole(name: str, a: Node, b: Node, text: str) -> Node:
    """Of integers: where their bits say that nothing can overflow, nothing looks for it."""
    if name in ("div", "mod"):
        is_wide = a.type.bits >= 64 and not (isinstance(b, Literal) and b.value != -1)
        bits = a.type.bits if name == "mod" else min(a.type.bits + 1, 64)
    else:
        bits = max(a.type.bits, b.type.bits) + 1
        if name == "mul":
            bits = a.type.bits + b.type.bits
        is_wide = bits > 64
    operator = f"{'wide' if is_wide else 'int'}.{name}"
    return call(operator, FieldType("int", bits=min(bits, 64)), (a, b), text)


def _negative(parser: Parser, tree: exp.Expr) -> Node:
    operand = tree.this.unnest()
    if isinstance(operand, exp.Literal) and not operand.is_string:
        return parser.literal(operand, minus=True)
    return _signed(parser, tree, "neg", "-")


def _absolute(parser: Parser, tree: exp.Expr) -> Node:
    return _signed(parser, tree, "abs", "abs")


def _signed(parser: Parser, tree: exp.Expr, name: str, taker: str) -> Node:
    node = parser.of_kind(tree.this, *NUMBERS, taker=taker)
    if name == "neg" and node.text in ("0", "0.0e0"):
        return node  # as when its text is read
    text = f"(- {node.text})" if name == "neg" else f"ABS({node.text})"
    if node.type.kind == "int":
        family = "wide" if node.type.bits >= 64 else "int"
        bits = min(node.type.bits + 1, 64)
        return call(f"{family}.{name}", FieldType("int", bits=bits), (node,), text)
    return call(f"{node.type.kind}.{name}", node.type, (node,), text)


def _comparison(parser: Parser, tree: exp.Expr) -> Node:
    name, sign = _SIGNS[type(tree)]
    a, b = parser.matched([tree.this, tree.expression])
    return _compared(parser, tree, name, sign, a, b)


def _compared(parser: Parser, tree: exp.Expr, name: str, sign: str, a: Node, b: Node) -> Node:
    if a.type.kind == "bool" and name not in ("eq", "ne"):
        raise parser.refused(tree, "conditions have no order; use = or <>")
    return call(f"{_family(a)}.{name}", BOOL, (a, b), f"({a.text} {sign} {b.text})")


def _family(node: Node) -> str:
    return "float" if node.type.kind == "float" else "plain"


def _between(parser: Parser, tree: exp.Expr) -> Node:
    # Each pair has its own type, as if it were written as two comparisons.
    low, high = (parser.matched([tree.this, tree.args[bound]]) for bound in ("low", "high"))
    first = _compared(parser, tree, "ge", ">=", *low)
    return _both("and", first, _compared(parser, tree, "le", "<=", *high))


def _both(name: str, a: Node, b: Node) -> Node:
    nullable = a.type.nullable or b.type.nullable
    return Call(or_null(BOOL, nullable), name, (a, b), f"({a.text} {name.upper()} {b.text})")


def _connected(parser: Parser, tree: exp.Expr) -> Node:
    name = "and" if isinstance(tree, exp.And) else "or"
    sides = [parser.condition(t, name.upper()) for t in (tree.this, tree.expression)]
    return _both(name, *sides)


def _not(parser: Parser, tree: exp.Expr) -> Node:
    node = parser.condition(tree.this, "NOT")
    return negated(node)


def _is(parser: Parser, tree: exp.Expr) -> Node:
    if not isinstance(tree.expression, exp.Null):
        raise parser.refused(tree, "IS takes NULL; use the condition itself, or NOT")
    node = parser.typed(tree.this)
    return Call(BOOL, "is_null", (node,), f"({node.text} IS NULL)")


def _same(parser: Parser, tree: exp.Expr) -> Node:
    a, b = parser.matched([tree.this, tree.expression])
    same = Call(BOOL, f"{_family(a)}.same", (a, b), f"({a.text} IS NOT DISTINCT FROM {b.text})")
    if isinstance(tree, exp.NullSafeEQ):
        return same
    return call("not", BOOL, (same,), f"({a.text} IS DISTINCT FROM {b.text})")


def _in(parser: Parser, tree: exp.Expr) -> Node:
    if not tree.expressions:
        raise parser.refused(tree, "IN takes a list of literals, as in IN ('a', 'b')")
    first, *values = parser.matched([tree.this, *tree.expressions])
    for value, part in zip(values, tree.expressions, strict=True):
        if not isinstance(value, Literal) or value.value is None:
            raise parser.refused(part, "IN takes literals that are not NULL; else use = and OR")
    text = ", ".join(value.text for value in values)
    nullable = first.type.nullable
    return Call(or_null(BOOL, nullable), "in", (first, *values), f"({first.text} IN ({text}))")


def _case(parser: Parser, tree: exp.Expr) -> Node:
    conditions, values = [], []
    for branch in tree.args["ifs"]:
        if tree.this is None:
            conditions.append(parser.condition(branch.this, "WHEN"))
        else:
            a, b = parser.matched([tree.this, branch.this])
            conditions.append(_compared(parser, branch, "eq", "=", a, b))
        values.append(parser.typed(branch.args["true"]))
    default = tree.args.get("default")
    values.append(Literal(NULL, None, "NULL") if default is None else parser.typed(default))
    chosen = together(*values)
    pairs = [node for pair in zip(conditions, chosen[:-1], strict=True) for node in pair]
    text = " ".join(
        f"WHEN {c.text} THEN {v.text}" for c, v in zip(conditions, chosen[:-1], strict=True)
    )
    type = _widest(chosen, any(v.type.nullable for v in chosen))
    return Call(type, "case", (*pairs, chosen[-1]), f"CASE {text} ELSE {chosen[-1].text} END")


def _widest(nodes: tuple[Node, ...], nullable: bool) -> FieldType:
    type = max((n.type for n in nodes), key=lambda t: t.bits)
    return replace(type, nullable=nullable)


def _choice(parser: Parser, tree: exp.Expr) -> Node:
    name = type(tree).__name__.lower()
    nodes = parser.matched([tree.this, *tree.expressions])
    nullable = all(n.type.nullable for n in nodes)
    text = f"{name.upper()}({', '.join(n.text for n in nodes)})"
    if name != "coalesce" and nodes[0].type.kind == "bool":
        raise parser.refused(tree, f"conditions have no order; use {_INSTEAD_OF[name]}")
    return Call(_widest(nodes, nullable), name, nodes, text)


_INSTEAD_OF = {"greatest": "OR", "least": "AND"}


def _nullif(parser: Parser, tree: exp.Expr) -> Node:
    a, b = parser.matched([tree.this, tree.expression])
    type = or_null(a.type)
    return Call(type, f"{_family(a)}.nullif", (a, b), f"NULLIF({a.text}, {b.text})")


def _round(parser: Parser, tree: exp.Expr) -> Node:
    name = type(tree).__name__.lower()
    node = parser.of_kind(tree.this, *NUMBERS, taker=name)
    digits = tree.args.get("decimals")
    scale = 0
    if digits is not None:
        if not (isinstance(digits, exp.Literal) and str(digits.this).isdecimal()):
            raise parser.refused(digits, f"{name} takes a literal number of digits")
        scale = int(str(digits.this))
    text = f"{name.upper()}({node.text}{f', {scale}' if scale else ''})"
    if node.type.kind == "decimal":
        if scale >= node.type.scale:
            return Call(node.type, "decimal>decimal", (node,), text)
        type_ = decimal_type(node.type.precision + 1, scale)
        return call(f"decimal.{name}", type_, (node,), text)
    if scale:
        raise parser.refused(tree, f"{name} to digits takes a decimal, not {describe(node.type)}")
    if node.type.kind == "int":
        return node
    return call(f"float.{name}", FLOAT, (node,), text)


def _elements(parser: Parser, tree: exp.Expr) -> Node:
    return _cardinality(parser, tree, tree.this)


def _cardinality(parser: Parser, tree: exp.Expr, array: exp.Expr) -> Node:
    node = parser.typed(array)
    if node.type.kind != "array":
        raise parser.refused(array, f"cardinality takes an array, not {describe(node.type)}")
    return call("cardinality", FieldType("int", bits=33), (node,), f"CARDINALITY({node.text})")


def _array_contains(parser: Parser, tree: exp.Expr) -> Node:
    array, value = parser.typed(tree.this), parser.typed(tree.expression)
    items = array.type.items
    if array.type.kind != "array" or items is None or items.kind not in ("string", "int"):
        raise parser.refused(tree.this, "array_contains takes an array of strings or integers")
    if value.type.kind != items.kind:
        raise parser.refused(
            tree.expression, f"the array holds {describe(items)}, not {describe(value.type)}"
        )
    text = f"ARRAY_CONTAINS({array.text}, {value.text})"
    return call("array_contains", BOOL, (array, value), text)


def _anonymous(parser: Parser, tree: exp.Expr) -> Node:
    from fastdata.expressions.moments import NAMED
    from fastdata.expressions.refusals import unknown_function

    name = str(tree.this).lower()
    if name not in ("cardinality", *NAMED):
        raise parser.refused(tree, unknown_function(name))
    if len(tree.expressions) != 1:
        raise parser.refused(tree, f"{name} takes one argument")
    if name == "cardinality":
        return _cardinality(parser, tree, tree.expressions[0])
    return NAMED[name](parser, tree.expressions[0])


def _literal(parser: Parser, tree: exp.Expr) -> Node:
    return parser.literal(tree)


def _boolean(parser: Parser, tree: exp.Expr) -> Node:
    return Literal(BOOL, bool(tree.this), "TRUE" if tree.this else "FALSE")


def _null(parser: Parser, tree: exp.Expr) -> Node:
    return Literal(NULL, None, "NULL")


def _dot(parser: Parser, tree: exp.Expr) -> Node:
    return parser.inside(parser.typed(tree.this), tree.expression)


_TWO = {"this", "expression"}
_ONE = {"this"}
HANDLERS: Mapping[type[exp.Expr], tuple[Handler, set[str]]] = {
    **dict.fromkeys((exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod), (_arithmetic, _TWO)),
    **dict.fromkeys((exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE), (_comparison, _TWO)),
    **dict.fromkeys((exp.And, exp.Or), (_connected, _TWO)),
    **dict.fromkeys((exp.NullSafeEQ, exp.NullSafeNEQ), (_same, _TWO)),
    **dict.fromkeys((exp.Coalesce, exp.Greatest, exp.Least), (_choice, {"this", "expressions"})),
    **dict.fromkeys((exp.Round, exp.Floor, exp.Ceil), (_round, {"this", "decimals"})),
    **dict.fromkeys((exp.Cast, exp.TryCast), (cast, {"this", "to"})),
    **MOMENTS,
    **TEXTS,
    exp.Column: (Parser.name, {"this", "table", "db", "catalog"}),
    exp.Identifier: (Parser.name, _ONE),
    exp.Dot: (_dot, _TWO),
    exp.Bracket: (Parser.key, {"this", "expressions"}),
    exp.Explode: (Parser.unnested, _ONE),
    exp.Literal: (_literal, _ONE),
    exp.Boolean: (_boolean, _ONE),
    exp.Null: (_null, set()),
    exp.Neg: (_negative, _ONE),
    exp.Abs: (_absolute, _ONE),
    exp.Not: (_not, _ONE),
    exp.Is: (_is, _TWO),
    exp.In: (_in, {"this", "expressions"}),
    exp.Between: (_between, {"this", "low", "high"}),
    exp.Case: (_case, {"this", "ifs", "default"}),
    exp.Nullif: (_nullif, _TWO),
    exp.ArraySize: (_elements, _ONE),
    exp.ArrayContains: (_array_contains, _TWO),
    exp.Anonymous: (_anonymous, {"this", "expressions"}),
}
