"""Expressions as SQL text for DataFusion, over columns named as the fields of the event.

The columns may have any Arrow type that holds the field's values: each is cast where it is read.
"""

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
    times = [max(1, node.operator.sql.count(f"{{{i}}}")) for i in range(len(node.arguments))]
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
    return _INSIDE.get(node.type.kind, "{}").format(_place(node))


def _place(node: Node) -> str:
    match node:
        case Column():
            return quote_name(node.name)
        case Element():
            return quote_name(ELEMENT)
        case Get():
            if node.holder.type.kind == "map":
                # Of a key that comes twice the last one counts, as in a dict.
                holder, key = _place(node.holder), quote_text(node.name)
                position = f"CAST(array_positions(map_keys({holder}), {key})[-1] AS BIGINT)"
                return f"map_values({holder})[{position}]"
            record = _place(node.holder)
            field = f"get_field({record}, {quote_text(node.name)})"
            if not node.holder.type.nullable:
                return field
            # What lies under a null record is any value.
            return f"CASE WHEN {record} IS NOT NULL THEN {field} END"
    raise TypeError(f"{node.text} is no field")


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
            return node.text
        case "bool":
            return "true" if value else "false"
    return f"({value})"


def _call(node: Call) -> str:
    arguments = [node.operator.argument.format(_inside(a)) for a in node.arguments]
    return node.operator.sql.format(
        *arguments,
        all=", ".join(arguments),
        rest=", ".join(arguments[1:]),
        p=node.type.precision,
        s=node.type.scale,
        s0=node.arguments[0].type.scale,
    )
