"""From the tree of an expression to typed nodes.

`Parser` walks the tree and holds what all kinds of trees need; how one kind becomes a node is said
by the handler that a table has for it.
"""

import re
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite

from sqlglot import exp
from sqlglot.helper import ensure_list

from fastdata.errors import did_you_mean
from fastdata.events.fieldtypes import FieldType
from fastdata.expressions.coercion import (
    BOOL,
    FLOAT,
    NULL,
    STRING,
    MismatchError,
    convert,
    decimal_type,
    describe,
    is_null,
    together,
)
from fastdata.expressions.refusals import RefusedError, instead_of
from fastdata.expressions.tree import (
    INT64,
    Column,
    Element,
    Get,
    Literal,
    Node,
    Operator,
    array_of,
    call,
    or_null,
    quoted,
)

__all__ = ["Function", "Handler", "Handlers", "Parser", "Reader", "negated", "of_kind"]

Handler = Callable[["Parser", exp.Expr], Node]
Handlers = Mapping[type[exp.Expr], tuple[Handler, Container[str]]]
Reader = Callable[["Parser", exp.Expr, str], Node]
"""Types an argument of the function or operator that is named."""

NOT = Operator("not {0}", "(NOT {0})")
_MAX_DEPTH = 40
# Arguments that sqlglot notes on its nodes, and that change nothing here.
_NOTES = {
    "negate", "safe", "typed", "coalesce", "ignore_nulls", "nested", "big_int", "is_string",
    "quoted",
}  # fmt: skip


def negated(node: Node) -> Node:
    """NOT of a condition."""
    return call(NOT, BOOL, (node,), f"(NOT {node.text})")


class Parser:
    """Types the tree of one text.

    What its methods make no node of they refuse, with its place in the text: `RefusedError`.

    Args:
        fields: Types by name.
        handlers: By kind of tree, what types it, and the arguments of it that are understood.
        chars: The length of the text.
    """

    def __init__(self, fields: Mapping[str, FieldType], handlers: Handlers, chars: int) -> None:
        self._fields = fields
        self._handlers = handlers
        self._chars = chars
        self._depth = 0

    def typed(self, tree: exp.Expr) -> Node:
        """The typed node of a tree."""
        if isinstance(tree, exp.Paren):
            return self.typed(tree.this)
        entry = self._handlers.get(type(tree))
        if entry is None:
            raise self.refused(tree, instead_of(tree))
        handler, keys = entry
        for key, value in tree.args.items():
            if value and key not in keys and key not in _NOTES:
                if isinstance(value, exp.Query | exp.Subquery):
                    raise self.refused(value, instead_of(value))
                raise self.refused(tree, f"{key.upper().replace('_', ' ')} is not supported here")
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self.refused(tree, f"this is nested more than {_MAX_DEPTH} levels deep")
        try:
            node = handler(self, tree)
            return negated(node) if tree.args.get("negate") else node
        except MismatchError as error:
            raise self.refused(tree, str(error)) from None
        finally:
            self._depth -= 1

    def refused(self, tree: exp.Expr, message: str) -> RefusedError:
        """The error that points at a tree."""
        places = [(n.meta["start"], n.meta["end"] + 1) for n in tree.walk() if "start" in n.meta]
        start = min((p[0] for p in places), default=0)
        return RefusedError(message, start, max((p[1] for p in places), default=self._chars))

    def part(self, tree: exp.Expr, key: str, taker: str) -> exp.Expr:
        """An argument of a tree, by sqlglot's name of it, which `taker` cannot do without."""
        part: exp.Expr | None = tree.args.get(key)
        if part is None:
            raise self.refused(tree, f"an argument of {taker} is missing")
        return part

    def of_kind(self, tree: exp.Expr, *kinds: str, taker: str) -> Node:
        """The typed node, if its kind is one of those that `taker` takes; NULL takes the first."""
        node = self.typed(tree)
        if is_null(node) and node.type == NULL:
            return convert(node, FieldType(kinds[0]))  # type: ignore[arg-type]
        if node.type.kind not in kinds:
            raise self.refused(
                tree, f"{taker} takes {' or '.join(kinds)}, not {describe(node.type)}"
            )
        return node

    def text_of(self, tree: exp.Expr, role: str) -> Literal:
        """The literal text that a tree is; the message names its role."""
        if isinstance(tree, exp.Literal) and tree.is_string:
            return self.literal(tree)
        raise self.refused(tree, f"{role} must be a literal text, as in 'x'")

    def literal(self, tree: exp.Expr, minus: bool = False) -> Literal:
        """A literal number or text; numbers may be negative."""
        text = str(tree.this)
        if tree.is_string:
            if "\0" in text:
                raise self.refused(tree, "the character NUL is not supported")
            return Literal(STRING, text, "'" + text.replace("'", "''") + "'")
        sign = "-" if minus else ""
        if text.isdecimal():
            number = int(sign + text)
            if not INT64[0] <= number <= INT64[1]:
                raise self.refused(tree, "an integer has 64 bits; write a decimal, as in 1.0")
            bits = min(number.bit_length() + 1, 64)
            return Literal(FieldType("int", bits=bits), number, str(number))
        if re.fullmatch(r"[0-9]*\.[0-9]*", text) and len(text) > 1:
            return self._decimal(tree, Decimal(sign + text))
        value = float(sign + text) + 0.0
        if not isfinite(value):
            raise self.refused(tree, "this is larger than any float")
        return Literal(FLOAT, value, repr(value) if "e" in repr(value) else f"{value!r}e0")

    def _decimal(self, tree: exp.Expr, number: Decimal) -> Literal:
        scale = max(0, -int(number.as_tuple().exponent))
        precision = max(len(number.as_tuple().digits), scale, 1)
        if precision > 38:
            raise self.refused(tree, f"it has {precision} digits; a decimal has 38 at most")
        type = FieldType("decimal", scale=scale, precision=precision)
        return Literal(type, number, f"{number:f}" if scale else f"{number:f}.")

    def name(self, tree: exp.Expr) -> Node:
        """The field of a name, or of names with dots, one inside of records."""
        first, *rest = tree.parts if isinstance(tree, exp.Column) else [tree]
        name = first.name
        if name not in self._fields:
            unknown = _unknown("field", name, list(self._fields))
            if first.args.get("quoted"):
                unknown += f"; a text has single quotes, as in '{name}'"
            raise self.refused(first, unknown)
        node: Node = Column(self._fields[name], name, quoted(name))
        for part in rest:
            node = self.inside(node, part)
        return self._usable(tree, node)

    def _usable(self, tree: exp.Expr, node: Node) -> Node:
        if node.type.kind == "other":
            raise self.refused(tree, f"{node.text} is a union of several types: not supported")
        if node.type.kind == "decimal":
            decimal_type(node.type.precision, node.type.scale)
        return node

    def inside(self, node: Node, part: exp.Expr) -> Node:
        """The field of the record `node` that is named by `part`."""
        fields = dict(node.type.fields)
        if node.type.kind != "record":
            hint = {
                "array": f"; unnest({node.text}).{part.name} is it of each element",
                "map": f"; {node.text}['{part.name}'] is what it holds under that key",
            }.get(node.type.kind, "")
            raise self.refused(part, f"{node.text} holds {describe(node.type)}, no record{hint}")
        if part.name not in fields:
            raise self.refused(part, _unknown(f"field in {node.text}", part.name, list(fields)))
        type = or_null(fields[part.name], node.type.nullable)
        return self._usable(part, Get(type, node, part.name, f"{node.text}.{quoted(part.name)}"))

    def key(self, tree: exp.Expr) -> Node:
        """What a map holds under a key."""
        node = self.typed(tree.this)
        keys = tree.expressions
        if node.type.kind == "array":
            raise self.refused(tree, f"elements have no number; unnest({node.text}) gives each")
        if node.type.kind != "map" or node.type.items is None:
            raise self.refused(tree, f"{node.text} holds {describe(node.type)}, no map")
        key = self.text_of(keys[0], "the key of a map")
        text = f"{node.text}[{key.text}]"
        return self._usable(tree, Get(or_null(node.type.items), node, str(key.value), text))

    def unnested(self, tree: exp.Expr) -> Node:
        """The node that stands for each element of an array."""
        array = self.typed(tree.this)
        if array.type.kind != "array" or array.type.items is None:
            raise self.refused(tree.this, f"unnest takes an array, not {describe(array.type)}")
        if array_of(array) or not isinstance(array, Column | Get):
            raise self.refused(
                tree, "unnest takes an array of the event, not one inside of another"
            )
        return Element(array.type.items, array, f"unnest({array.text})")

    def condition(self, tree: exp.Expr, taker: str) -> Node:
        """The typed node of a condition, which an operator takes."""
        node = self.typed(tree)
        if is_null(node) and node.type == NULL:
            return convert(node, BOOL)
        if node.type.kind != "bool":
            raise self.refused(
                tree,
                f"{taker} takes conditions, not {describe(node.type)}; compare it, as in "
                f"{node.text} {'<> 0' if node.type.kind == 'int' else 'IS NOT NULL'}",
            )
        return node

    def matched(self, trees: list[exp.Expr]) -> tuple[Node, ...]:
        """The typed nodes of trees, converted to their common type."""
        return together(*[self.typed(tree) for tree in trees])


@dataclass(frozen=True, slots=True)
class Function:
    """All that there is to say of a function or operator with one form; it is its own handler.

    Attributes:
        name: In messages, and in capital letters in the canonical text.
        type: Of its result, but for null.
        takes: What sqlglot calls its arguments, and what types each of them.
        operator: What computes it.
        text: The canonical text: `{name}`, and arguments as in `Operator.sql`.
    """

    name: str
    type: FieldType
    takes: Mapping[str, Reader]
    operator: Operator
    text: str = "{name}({all})"

    def __call__(self, parser: Parser, tree: exp.Expr) -> Node:
        """The typed node of a call."""
        nodes = [
            reader(parser, part, self.name)
            for key, reader in self.takes.items()
            for part in ensure_list(parser.part(tree, key, self.name))
        ]
        texts = [node.text for node in nodes]
        text = self.text.format(*texts, name=self.name.upper(), all=", ".join(texts))
        return call(self.operator, self.type, nodes, text)


def of_kind(kind: str, taker: str = "") -> Reader:
    """What types an argument of one kind, as `Parser.of_kind` does."""
    return lambda parser, tree, name: parser.of_kind(tree, kind, taker=taker or name)


def _unknown(kind: str, name: str, have: list[str]) -> str:
    advice = did_you_mean(name, have, f"there are: {', '.join(have)}")
    return f"there is no {kind} {name!r}; {advice}"
