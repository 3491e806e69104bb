"""Expressions as Python source: one flat function, with every value in a local variable."""

from collections.abc import Iterator
from contextlib import contextmanager
from keyword import iskeyword

from fastdata.expressions.tree import Call, Column, Get, Literal, Node

__all__ = ["Code"]

_TYPES = {  # of checked values: the type, and what it is called in a message
    **dict.fromkeys(("int", "timestamp", "date"), ("int", "an int")),
    "string": ("str", "a str"), "bool": ("bool", "a bool"), "decimal": ("Decimal", "a decimal"),
}  # fmt: skip


class Code:
    """Lines of Python that compute expressions; they call what is in `runtime`.

    Attributes:
        lines: So far.
        names: The constants that the lines use, by name.
    """

    def __init__(self, indent: int) -> None:
        self.lines: list[str] = []
        self.names: dict[str, object] = {}
        self._indent = indent
        self._count = 0
        # Variables of what is computed already, for each block that is open: inner ones come last,
        # and are forgotten with their block, which may not run. By node, and whether its type is
        # checked: see `value` and `_place`.
        self._computed: list[dict[tuple[Node, bool], str]] = [{}]

    def line(self, text: str) -> None:
        """Add a line."""
        self.lines.append("    " * self._indent + text)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """A block, which the lines that are added inside of it fill."""
        self.line(head)
        self._indent += 1
        self._computed.append({})
        yield
        self._computed.pop()
        self._indent -= 1

    def named(self, expression: str) -> str:
        """A variable with the value of a Python expression."""
        if expression.isidentifier() and not iskeyword(expression):
            return expression
        self._count += 1
        self.line(f"v{self._count} = {expression}")
        return f"v{self._count}"

    def constant(self, value: object) -> str:
        """A name that stands for an object in the lines."""
        name = f"k{len(self.names)}"
        self.names[name] = value
        return name

    def result(self, node: Node) -> str:
        """The value of a whole expression: fields as they are, floats without negative zero."""
        if not isinstance(node, Call):
            return self.value(node) if isinstance(node, Literal) else self._place(node)
        if node.type.kind != "float":
            return self.value(node)
        value = self.named(self.value(node))
        return f"(None if {value} is None else {value} + 0.0)"

    def value(self, node: Node) -> str:
        """The value of a node, of its type for sure: a variable, or Python to be used once."""
        if isinstance(node, Literal):
            return self._literal(node.value)
        value = self._seen(node, True)
        if value is None:
            value = self._call(node) if isinstance(node, Call) else self._checked(node)
            self._computed[-1][node, True] = value
        return value

    def _seen(self, node: Node, is_checked: bool) -> str | None:
        for block in self._computed:
            if (node, is_checked) in block:
                return block[node, is_checked]
        return None

    def _literal(self, value: object) -> str:
        if value is None or isinstance(value, bool | str):
            return repr(value)
        return f"({value})" if isinstance(value, int) else self.constant(value)

    def _place(self, node: Node) -> str:
        """A variable with what a field holds, whatever that is."""
        name = self._seen(node, False)
        if name is None:
            match node:
                case Column():
                    name = self.named(f"fields[{node.name!r}]")
                case Get():
                    name = self.named(self._inside(node))
                case _:
                    name = "element"
            self._computed[-1][node, False] = name
        return name

    def _inside(self, node: Get) -> str:
        holder = self._place(node.holder)
        is_map = node.holder.type.kind == "map"
        value = f"{holder}.get({node.name!r})" if is_map else f"{holder}[{node.name!r}]"
        return f"None if {holder} is None else {value}" if node.holder.type.nullable else value

    def _checked(self, node: Node) -> str:
        """The variable of a field, with lines that check its type: a map function can spoil it."""
        name, kind = self._place(node), node.type.kind
        unless_null = f"{name} is not None and " if node.type.nullable else ""
        if kind == "float":
            self.line(f"if {unless_null}type({name}) is not float:")
            self.line(f"    {name} = to_float({node.text!r}, {name})")
        elif kind in _TYPES:
            type, expected = _TYPES[kind]
            self.line(f"if {unless_null}type({name}) is not {type}:")
            self.line(f"    raise wrong_type({node.text!r}, {expected!r}, {name})")
        return name

    def _call(self, node: Call) -> str:
        special = {
            "connected": self._connected, "case": self._case, "coalesce": self._coalesce,
            "extreme": self._extreme, "concat": self._concat, "in": self._in,
        }.get(node.operator.form)  # fmt: skip
        return special(node) if special else self._expression(node)

    def _expression(self, node: Call) -> str:
        operator = node.operator
        values = [self.value(argument) for argument in node.arguments]
        if operator.form == "open":  # they ask whether it is None, which a literal is not asked
            values = [self.named(value) for value in values]
        nulls = [a.type.nullable and operator.form != "open" for a in node.arguments]
        for index, is_nullable in enumerate(nulls):
            if is_nullable or operator.python.count(f"{{{index}}}") > 1:
                values[index] = self.named(values[index])
        digits = {"p": node.type.precision, "s": node.type.scale}
        digits["s0"] = node.arguments[0].type.scale
        expression = f"({operator.python.format(*values, **digits)})"
        pairs = dict.fromkeys(v for v, null in zip(values, nulls, strict=True) if null)
        if pairs:
            missing = " or ".join(f"{name} is None" for name in pairs)
            expression = f"(None if {missing} else {expression})"
        if operator.range is None:
            return expression
        name = self.named(expression)
        least, most = operator.range
        unless_null = f"{name} is not None and " if pairs else ""
        self.line(f"if {unless_null}not {least} <= {name} <= {most}:")
        self.line(f"    {name} = None")
        return name

    def _new(self, expression: str) -> str:
        """A variable of its own, which may be changed."""
        return self.named(f"({expression})")

    def _connected(self, node: Call) -> str:
        """AND and OR of three values: true, false and null.

        The second is not computed when the first decides: false AND, true OR. A null on either
        side stays null, unless the other one decides.
        """
        first, second = node.arguments
        name, is_or = self._new(self.value(first)), node.operator.python == "or"
        with self.block(f"if {name} is not {is_or}:"):
            value = self.named(self.value(second))
            if first.type.nullable:
                test = f"{name} is False or {value}" if is_or else f"{name} or {value} is False"
                self.line(f"if {test}:")
                self.line(f"    {name} = {value}")
            else:
                self.line(f"{name} = {value}")
        return name

    def _case(self, node: Call) -> str:
        *pairs, last = node.arguments
        conditions = [self.named(self.value(condition)) for condition in pairs[::2]]
        name = self._new("None")
        heads = [f"{'elif' if i else 'if'} {test}:" for i, test in enumerate(conditions)]
        for head, value in zip([*heads, "else:"], [*pairs[1::2], last], strict=True):
            with self.block(head):
                self.line(f"{name} = {self.value(value)}")
        return name

    def _coalesce(self, node: Call) -> str:
        first, *others = node.arguments
        name = self._new(self.value(first))
        for other in others:
            with self.block(f"if {name} is None:"):
                self.line(f"{name} = {self.value(other)}")
        return name

    def _extreme(self, node: Call) -> str:
        first, *others = [self.named(self.value(argument)) for argument in node.arguments]
        name = self._new(first)
        for value in others:
            test = node.operator.python.format(value, name)
            self.line(f"if {value} is not None and ({name} is None or {test}):")
            self.line(f"    {name} = {value}")
        return name

    def _concat(self, node: Call) -> str:
        parts = []
        for argument in node.arguments:
            value = self.value(argument)
            parts.append(f"({value} or '')" if argument.type.nullable else value)
        return f"({' + '.join(parts)})"

    def _in(self, node: Call) -> str:
        first, *rest = node.arguments
        values = self.constant(frozenset(getattr(literal, "value", None) for literal in rest))
        if not first.type.nullable:
            return f"({self.value(first)} in {values})"
        name = self.named(self.value(first))
        return f"(None if {name} is None else {name} in {values})"
