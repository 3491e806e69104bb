"""From SQL text to a typed expression: a closed subset of PostgreSQL's dialect."""

from collections.abc import Mapping

from sqlglot import exp, parse
from sqlglot.errors import ParseError, SqlglotError

from fastdata.events.fieldtypes import FieldType
from fastdata.expressions.coercion import NULL
from fastdata.expressions.functions import HANDLERS
from fastdata.expressions.parsing import Parser
from fastdata.expressions.refusals import RefusedError, pointed
from fastdata.expressions.sql import is_too_large
from fastdata.expressions.tree import Node, array_of

__all__ = ["parse_sql"]

_MAX_CHARS = 4000


def parse_sql(text: str, fields: Mapping[str, FieldType], user: str) -> Node:
    """The typed expression of SQL text; see `parse_expression`.

    Raises:
        DeclarationError: It is not in the subset or its types do not fit; with the place in it.
    """
    try:
        parser = Parser(fields, HANDLERS, len(text))
        node = parser.typed(_parsed(text))
        if len(array_of(node)) > 1:
            raise RefusedError("only one array can be unnested", 0, len(text))
        if node.type == NULL:
            raise RefusedError("NULL alone has no type; write CAST(NULL AS BIGINT)", 0, len(text))
        if is_too_large(node):
            raise RefusedError("the expression is too large", 0, len(text))
    except RefusedError as refused:
        raise pointed(user, text, refused) from None
    return node


def _parsed(text: str) -> exp.Expr:
    if not text.strip():
        raise RefusedError("the expression is empty; give a field's name or SQL text", 0, 1)
    if len(text) > _MAX_CHARS:
        raise RefusedError(f"the expression is longer than {_MAX_CHARS} characters", 0, 1)
    try:
        trees = [tree for tree in parse(text, dialect="postgres") if tree is not None]
    except ParseError as error:
        raise _unreadable(text, error) from error
    except (SqlglotError, RecursionError) as error:
        raise RefusedError(
            "this cannot be read as SQL; is a quote left open?", 0, len(text)
        ) from error
    if len(trees) != 1:
        start = text.find(";")
        raise RefusedError("one expression is wanted, without a semicolon", start, start + 1)
    return trees[0]


def _unreadable(text: str, error: ParseError) -> RefusedError:
    details = error.errors[0]
    lines = text.split("\n")
    line = int(details.get("line") or 1) - 1
    end = sum(len(before) + 1 for before in lines[:line]) + int(details.get("col") or 1)
    start = end - len(details.get("highlight") or " ")
    reason = str(details.get("description") or error)
    if reason.startswith("Required keyword"):
        reason = "something is missing here"
    return RefusedError(f"this cannot be read as SQL: {reason}".rstrip("."), start, end)
