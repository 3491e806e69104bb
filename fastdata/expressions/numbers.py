"""Functions and operators of numbers.

Of integers, `wide` are those whose result may need more than 64 bits: it is null then.
"""

from collections.abc import Mapping

from sqlglot import exp

from fastdata.events.fieldtypes import FieldType
from fastdata.expressions.coercion import (
    FLOAT,
    INT,
    NULL,
    NUMBERS,
    MismatchError,
    as_decimal,
    common_decimal,
    convert,
    decimal_type,
    describe,
)
from fastdata.expressions.conversions import CONVERSIONS, to_decimal, to_int
from fastdata.expressions.parsing import Handlers, Parser
from fastdata.expressions.tree import INT64, Literal, Node, Operator, always, call

__all__ = ["HANDLERS", "OPERATORS", "arithmetic"]


_MIN = "CAST('-9223372036854775808' AS BIGINT)"
_DIGITS = "DECIMAL({p},{s})"


def _wide(sign: str) -> Operator:
    sql = to_int(f"CAST({{0}} AS DECIMAL(20,0)) {sign} CAST({{1}} AS DECIMAL(20,0))")
    return Operator(f"{{0}} {sign} {{1}}", sql, always, INT64)


def _cut(name: str) -> Operator:
    # From 2**52 on a float is whole, or infinite, or NaN.
    python = f"(float(math.{name}({{0}})) if -{2.0**52} < {{0}} < {2.0**52} else {{0}})"
    return Operator(python, f"{name}({{0}})")


def _cut_decimal(name: str) -> Operator:
    mode = "ROUND_FLOOR" if name == "floor" else "ROUND_CEILING"
    sql = f"CAST({name}(CAST({{0}} AS DECIMAL({{p}},{{s0}}))) AS {_DIGITS})"
    return Operator(f"{{0}}.to_integral_value({mode!r})", sql)


OPERATORS: Mapping[str, Operator] = {
    "int +": Operator("{0} + {1}", "({0} + {1})"),
    "int -": Operator("{0} - {1}", "({0} - {1})"),
    "int *": Operator("{0} * {1}", "({0} * {1})"),
    "int /": Operator("divide({0}, {1})", "({0} / NULLIF({1}, 0))", always),
    "int %": Operator("remainder({0}, {1})", "({0} % NULLIF({1}, 0))", always),
    "int neg": Operator("-{0}", "(-{0})"),
    "int abs": Operator("abs({0})", "abs({0})"),
    **{f"wide {sign}": _wide(sign) for sign in "+-*"},
    # The smallest integer by -1 is an error of the processor.
    "wide /": Operator(
        "divide({0}, {1})",
        f"CASE WHEN {{1}} = -1 THEN -NULLIF({{0}}, {_MIN}) "
        "ELSE {0} / NULLIF(NULLIF({1}, 0), -1) END",
        always,
    ),
    "wide %": Operator(
        "remainder({0}, {1})",
        "CASE WHEN {1} = -1 AND {0} IS NOT NULL THEN 0 ELSE {0} % NULLIF(NULLIF({1}, 0), -1) END",
        always,
    ),
    "wide neg": Operator("-{0}", f"(-NULLIF({{0}}, {_MIN}))", always, INT64),
    "wide abs": Operator("abs({0})", f"abs(NULLIF({{0}}, {_MIN}))", always, INT64),
    "float +": Operator("{0} + {1}", "({0} + {1})"),
    "float -": Operator("{0} - {1}", "({0} - {1})"),
    "float *": Operator("{0} * {1}", "({0} * {1})"),
    "float /": Operator("({0} / {1} if {1} else None)", "({0} / NULLIF({1} + 0.0, 0.0))", always),
    "float neg": Operator("-{0}", "(-{0})"),
    "float abs": Operator("abs({0})", "abs({0})"),
    "float round": Operator("round_float({0})", "round({0})"),
    "float floor": _cut("floor"),
    "float ceil": _cut("ceil"),
    "decimal +": Operator("add({0}, {1})", f"CAST({{0}} + {{1}} AS {_DIGITS})"),
    "decimal -": Operator("subtract({0}, {1})", f"CAST({{0}} - {{1}} AS {_DIGITS})"),
    "decimal *": Operator("multiply({0}, {1})", f"CAST({{0}} * {{1}} AS {_DIGITS})"),
    "decimal neg": Operator("minus({0})", "(-{0})"),
    "decimal abs": Operator("magnitude({0})", "abs({0})"),
    "decimal round": Operator("round_decimal({0}, {s})", to_decimal("CAST")),
    "decimal floor": _cut_decimal("floor"),
    "decimal ceil": _cut_decimal("ceil"),
}
_SIGNS: Mapping[type[exp.Expr], str] = {
    exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.Mod: "%",
}  # fmt: skip


def arithmetic(parser: Parser, tree: exp.Expr) -> Node:
    """The node of two numbers with a sign between them.

    Raises:
        RefusedError: One is no number.
        MismatchError: There is no such operator for them, or the result has too many digits.
    """
    sign = _SIGNS[type(tree)]
    a, b = parser.typed(tree.this), parser.typed(tree.expression)
    for node, part in ((a, tree.this), (b, tree.expression)):
        if node.type.kind in ("timestamp", "date"):
            raise parser.refused(
                tree, "of timestamps and dates only an interval can be added or subtracted; "
                "epoch_ms(...) is a number"
            )  # fmt: skip
        if node.type.kind not in NUMBERS and node.type != NULL:
            hint = "; || puts texts together" if node.type.kind == "string" else ""
            raise parser.refused(part, f"{sign} takes numbers, not {describe(node.type)}{hint}")
    a, b = _typed_null(a, b), _typed_null(b, a)
    family, result = _result(sign, a, b)
    if family == "float":
        a, b = convert(a, FLOAT), convert(b, FLOAT)
    elif family == "decimal":
        a, b = convert(a, as_decimal(a.type)), convert(b, as_decimal(b.type))
    return call(OPERATORS[f"{family} {sign}"], result, (a, b), f"({a.text} {sign} {b.text})")


def _typed_null(node: Node, other: Node) -> Node:
    if node.type != NULL:
        return node
    return convert(node, INT if other.type == NULL else other.type)


def _result(sign: str, a: Node, b: Node) -> tuple[str, FieldType]:
    """The family of the operator that computes it, and its type."""
    kinds = {a.type.kind, b.type.kind}
    if kinds == {"int"}:
        return _whole(sign, a, b)
    if sign == "%":
        word = "CAST or TRY_CAST" if "float" in kinds else "TRY_CAST"
        raise MismatchError(f"% takes integers; {word} to BIGINT first")
    if "float" in kinds or sign == "/":
        return "float", FLOAT
    if sign != "*":
        return "decimal", common_decimal(a.type, b.type, more_digits=1)
    left, right = as_decimal(a.type), as_decimal(b.type)
    return "decimal", decimal_type(left.precision + right.precision, left.scale + right.scale)


def _whole(sign: str, a: Node, b: Node) -> tuple[str, FieldType]:
    """Of integers: where their bits say that nothing can overflow, nothing looks for it."""
    if sign in "/%":
        is_wide = a.type.bits >= 64 and not (isinstance(b, Literal) and b.value != -1)
        bits = a.type.bits if sign == "%" else a.type.bits + 1
    else:
        bits = a.type.bits + b.type.bits if sign == "*" else max(a.type.bits, b.type.bits) + 1
        is_wide = bits > 64
    return "wide" if is_wide else "int", FieldType("int", bits=min(bits, 64))


def _signed(parser: Parser, tree: exp.Expr) -> Node:
    is_minus = isinstance(tree, exp.Neg)
    operand = tree.this.unnest()
    if is_minus and isinstance(operand, exp.Literal) and not operand.is_string:
        return parser.literal(operand, minus=True)
    node = parser.of_kind(tree.this, *NUMBERS, taker="-" if is_minus else "abs")
    if is_minus and node.text in ("0", "0.0e0"):
        return node  # as when its text is read
    family: str = node.type.kind
    result = node.type
    if family == "int":
        family = "wide" if result.bits >= 64 else "int"
        result = FieldType("int", bits=min(result.bits + 1, 64))
    name, text = ("neg", f"(- {node.text})") if is_minus else ("abs", f"ABS({node.text})")
    return call(OPERATORS[f"{family} {name}"], result, (node,), text)


def _rounded(parser: Parser, tree: exp.Expr) -> Node:
    name = type(tree).__name__.lower()
    node = parser.of_kind(parser.part(tree, "this", name), *NUMBERS, taker=name)
    digits = tree.args.get("decimals")
    scale = 0
    if digits is not None:
        if not (isinstance(digits, exp.Literal) and str(digits.this).isdecimal()):
            raise parser.refused(digits, f"{name} takes a literal number of digits")
        scale = int(str(digits.this))
    text = f"{name.upper()}({node.text}{f', {scale}' if scale else ''})"
    kind = node.type.kind
    if kind == "decimal":
        if scale >= node.type.scale:
            return call(CONVERSIONS["decimal>decimal"], node.type, (node,), text)
        digits_type = decimal_type(node.type.precision + 1, scale)
        return call(OPERATORS[f"decimal {name}"], digits_type, (node,), text)
    if scale:
        raise parser.refused(tree, f"{name} to digits takes a decimal, not {describe(node.type)}")
    return node if kind == "int" else call(OPERATORS[f"float {name}"], FLOAT, (node,), text)


HANDLERS: Handlers = {
    **dict.fromkeys((exp.Mul, exp.Div, exp.Mod), (arithmetic, {"this", "expression"})),
    **dict.fromkeys((exp.Neg, exp.Abs), (_signed, {"this"})),
    **dict.fromkeys((exp.Round, exp.Floor, exp.Ceil), (_rounded, {"this", "decimals"})),
}
