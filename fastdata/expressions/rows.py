"""One Python function of all expressions of a metric: what an event folds, by its dimensions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from fastdata.errors import MapError
from fastdata.expressions.python import Code, namespace
from fastdata.expressions.tree import Node, array_of

__all__ = ["Rows", "Selection", "compile_rows", "compile_value"]

Rows = Sequence[tuple[tuple[object, ...], Sequence[Sequence[object]]]]
Folding = Callable[[Mapping[str, object], int], Rows]
_MISSING = (KeyError, TypeError, AttributeError, IndexError)


@dataclass(frozen=True, slots=True)
class Selection:
    """The expressions of a metric.

    Attributes:
        where: Which events (or elements) count; None for all.
        by: The dimensions.
        arguments: Of each measure.
    """

    where: Node | None
    by: tuple[Node, ...]
    arguments: tuple[tuple[Node, ...], ...]

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All of them."""
        where = () if self.where is None else (self.where,)
        return (*where, *self.by, *[n for several in self.arguments for n in several])

    @property
    def array(self) -> Node | None:
        """What is unnested; None for events as they are."""
        return next(iter(array_of(*self.nodes)), None)


def compile_rows(selection: Selection) -> Folding:
    """The function of an event's fields and its time, ms UTC, that gives its rows.

    It raises MapError, naming the expression, for what only a map function can have made of an
    event: a field that is missing or of another type.
    """
    code = Code(indent=1)
    array = selection.array
    if array is None:
        _row(code, selection, "return ()")
        dims, values = _parts(code, selection)
        code.line(f"return (({dims}, ({values},)),)")
    else:
        _grouped(code, selection, array)
    rows = _compiled(code)

    def checked(fields: Mapping[str, object], time: int = 0) -> Rows:
        try:
            return rows(fields, time)
        except _MISSING as error:
            raise _explained(selection, fields, error) from error

    return checked


def compile_value(node: Node) -> Callable[[Mapping[str, object]], object]:
    """The function of an event's fields that gives the value of one expression without unnest."""
    code = Code(indent=1)
    code.line(f"return {code.result(node)}")
    value = _compiled(code)
    return lambda fields: value(fields, 0)


def _grouped(code: Code, selection: Selection, array: Node) -> None:
    name = code.named(code.result(array))
    code.line(f"if not {name}:")
    code.line("    return ()")
    code.line("groups = {}")

    def fold() -> None:
        _row(code, selection, "continue")
        dims, values = _parts(code, selection)
        code.line(f"dims = {dims}")
        code.line(f"values = {values}")
        code.line("if dims in groups:")
        code.line("    groups[dims].append(values)")
        code.line("else:")
        code.line("    groups[dims] = [values]")

    code.block(f"for element in {name}:", fold)
    code.line("return list(groups.items())")


def _row(code: Code, selection: Selection, otherwise: str) -> None:
    if selection.where is not None:
        code.line(f"if not {code.value(selection.where)}:")
        code.line(f"    {otherwise}")


def _parts(code: Code, selection: Selection) -> tuple[str, str]:
    dims = "".join([f"{code.result(node)}, " for node in selection.by])
    values = ", ".join([_values(code, nodes) for nodes in selection.arguments])
    return f"({dims})", f"[{values}]"


def _values(code: Code, nodes: Sequence[Node]) -> str:
    if not nodes:
        return "None"
    if len(nodes) == 1:
        return code.result(nodes[0])
    names = [code.named(code.result(node)) for node in nodes]
    missing = " or ".join(f"{name} is None" for name in names)
    return f"None if {missing} else ({', '.join(names)})"


def _compiled(code: Code) -> Folding:
    source = "\n".join(["def rows(fields, time):", *code.lines])
    names = {**namespace(), **code.names}
    exec(compile(source, "<expressions>", "exec"), names)  # noqa: S102 - all of it is made above
    return cast("Folding", names["rows"])


def _explained(selection: Selection, fields: Mapping[str, object], error: Exception) -> MapError:
    what = f"has no field {error}" if isinstance(error, KeyError) else f"is unfit: {error}"
    for node in selection.nodes:
        if array_of(node):
            continue
        try:
            compile_value(node)(fields)
        except _MISSING:
            return MapError(
                f"{node.text}: the event {what}; a map function must keep every field that a "
                "metric uses, of the type that the schema declares, or drop the event"
            )
    texts = ", ".join(node.text for node in selection.nodes)
    return MapError(
        f"one of {texts}: the event {what}; a map function must keep every field that a metric "
        "uses, of the type that the schema declares, or drop the event"
    )
