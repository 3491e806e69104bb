"""Expressions as SQL text for DataFusion, over columns named as the fields of the event.

The columns may have any Arrow type that holds the field's values: each is cast where it is read.
"""

from fastdata.events.fieldtypes import FieldType
from fastdata.expressions.operators import OPERATORS
from fastdata.expressions.tree import Call, Column, Element, Get, Literal, Node

__all__ = ["ELEMENT", "is_too_large", "quote_name", "to_sql"]

ELEMENT = "__element"  # the column that holds what is unnested
_MAX_WEIGHT = 2000
_INSIDE = {
    "int": "CAST({} AS BIGINT)",
    "float": "CAST({} AS DOUBLE)",
    "string": "CAST({} AS VARCHAR)",
    "timestamp": "arrow_cast({}, 'Int64')",
    "date": "CAST(arrow_cast({}, 'Int32') AS BIGINT)",
}
_NULLS = {
    "int": "BIGINT", "float": "DOUBLE", "string": "VARCHAR", "bool": "BOOLEAN",
    "timestamp": "BIGINT", "date": "BIGINT",
}  # fmt: skip


def to_sql(node: Node) -> str:
    """The SQL of an expression, with the value that `compile_rows` computes for it.

    Integers, timestamps and dates are Int64, floats Float64; a computed float is never -0.0. The
    elements of an array that is unnested are read from the column `ELEMENT`.
    """
    text = _inside(node)
    if isinstance(node, Call) and node.type.kind == "float":
        return f"({text} + 0.0)"
    return text


def is_too_large(node: Node) -> bool:
    """Whether its SQL would repeat parts so often that planning it takes seconds."""
    return _weight(node) > _MAX_WEIGHT


def _weight(node: Node) -> int:
    if not isinstance(node, Call):
        return 1
    template = OPERATORS[node.operator].sql if node.operator in OPERATORS else ""
    times = [max(1, template.count(f"{{{i}}}")) for i in range(len(node.arguments))]
    return 1 + sum(n * _weight(a) for n, a in zip(times, node.arguments, strict=True))


def quote_name(name: str) -> str:
    """A column's name in SQL."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """A text in SQL."""
    return "'" + text.replace("'", "''") + "'"


def _inside(node: Node) -> str:
    match node:
        case Literal():
            return _literal(node)
        case Call():
            return _call(node)
    return _read(node.type, _place(node))


def _place(node: Node) -> str:
    match node:
        case Column():
            return quote_name(node.name)
        case Element():
            return quote_name(ELEMENT)
        case Get():
            if node.holder.type.kind == "map":
                return f"map_extract({_place(node.holder)}, {quote_text(node.name)})[1]"
            record = _place(node.holder)
            field = f"get_field({record}, {quote_text(node.name)})"
            if not node.holder.type.nullable:
                return field
            # What lies under a null record is any value.
            return f"CASE WHEN {record} IS NOT NULL THEN {field} END"
    raise TypeError(f"{node.text} is no field")


def _read(type: FieldType, place: str) -> str:
    return _INSIDE.get(type.kind, "{}").format(place)


def _literal(node: Literal) -> str:
    kind, value = node.type.kind, node.value
    if value is None:
        digits = f"DECIMAL({node.type.precision},{node.type.scale})"
        return f"CAST(NULL AS {_NULLS.get(kind, digits)})"
    match kind:
        case "float":
            return f"CAST('{value!r}' AS DOUBLE)"
        case "decimal":
            return f"CAST('{value:f}' AS DECIMAL({node.type.precision},{node.type.scale}))"
        case "string":
            return quote_text(str(value))
        case "bool":
            return "true" if value else "false"
    return f"({value})"


def _call(node: Call) -> str:
    arguments = [_inside(a) for a in node.arguments]
    is_float = node.arguments[0].type.kind == "float"
    match node.operator:
        case "and" | "or":
            return f"({arguments[0]} {node.operator.upper()} {arguments[1]})"
        case "case":
            pairs = zip(arguments[:-1:2], arguments[1:-1:2], strict=True)
            whens = " ".join(f"WHEN {c} THEN {v}" for c, v in pairs)
            return f"CASE {whens} ELSE {arguments[-1]} END"
        case "coalesce" | "concat":
            return f"{node.operator}({', '.join(arguments)})"
        case "greatest" | "least":
            if is_float:
                arguments = [f"nanvl({a} + 0.0, CAST('NaN' AS DOUBLE))" for a in arguments]
            return f"{node.operator}({', '.join(arguments)})"
        case "in":
            first = f"({arguments[0]} + 0.0)" if is_float else arguments[0]
            return f"({first} IN ({', '.join(arguments[1:])}))"
        case "ilike":
            arguments[1] = f"lower({arguments[1]})"
    digits = {"p": node.type.precision, "s": node.type.scale}
    digits["s0"] = node.arguments[0].type.scale
    return OPERATORS[node.operator].sql.format(*arguments, **digits)
