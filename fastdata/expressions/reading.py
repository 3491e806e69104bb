"""From what a user writes to a typed expression."""

from collections.abc import Mapping

from fastdata.errors import DeclarationError
from fastdata.events.fieldtypes import FieldType
from fastdata.expressions.tree import Column, Node, quoted

__all__ = ["parse_expression"]


def parse_expression(text: str, fields: Mapping[str, FieldType], user: str) -> Node:
    """The typed expression of a text.

    Args:
        text: The name of a field, whatever is in it, or SQL.
        fields: Types of the event's fields, by name.
        user: What the expression is for, and where it is written; a message begins with it.

    Raises:
        DeclarationError: It is not in the subset or its types do not fit; with the place in it.
    """
    if not isinstance(text, str):
        raise DeclarationError(
            f"{user}: {text!r} is no expression; give a field's name or SQL text"
        )
    if text in fields:
        return Column(fields[text], text, quoted(text))
    # The parser of SQL takes a fifth of a second to load, and names need none.
    from fastdata.expressions.sql_text import parse_sql

    return parse_sql(text, fields, user)
