"""One Python function of all expressions of a metric: what an event folds, by its dimensions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from fastdata.errors import MapError
from fastdata.events.functions import make_function
from fastdata.events.values import to_float, wrong_type
from fastdata.expressions import runtime
from fastdata.expressions.keys import check_key, safe_length
from fastdata.expressions.python import Code
from fastdata.expressions.tree import Node, array_of

__all__ = [
    "ExpressionRows",
    "RowCode",
    "Selection",
    "compile_rows",
    "compile_value",
    "row_code",
]

ExpressionRows = Sequence[tuple[tuple[object, ...], Sequence[Sequence[object]]]]
"""Of one event: dimensions, and with each the values of the measures that are folded there."""
_Explain = Callable[[Mapping[str, object], Exception], Exception]
_TAIL = ("    except missing as error:", "        raise explain(fields, error) from error")
_MISSING = (KeyError, TypeError, AttributeError, IndexError)


@dataclass(frozen=True, slots=True)
class Selection:
    """The expressions of a metric.

    Attributes:
        where: Which events (or elements) count; None for all.
        by: The dimensions.
        arguments: Of each measure.
        timed: Of each measure, whether it folds its values with the event time.
        sets: Grouping sets, as indices of dimensions: an event folds for each of them, under its
            number and its dimensions. None for one set of all dimensions, without a number.
    """

    where: Node | None
    by: tuple[Node, ...]
    arguments: tuple[tuple[Node, ...], ...]
    timed: tuple[bool, ...]
    sets: tuple[tuple[int, ...], ...] = ()

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All expressions."""
        where = () if self.where is None else (self.where,)
        return (*where, *self.by, *[n for several in self.arguments for n in several])

    @property
    def array(self) -> Node | None:
        """The array that is unnested; None when rows are made of events as they are."""
        return next(iter(array_of(*self.nodes)), None)


def compile_rows(
    selection: Selection, mapper: str = "a map function"
) -> Callable[..., ExpressionRows]:
    """The function from an event's fields and its time, ms UTC, to its rows.

    It raises BadEventError for an event with a key that is too long, and MapError, naming the
    expression, for what only a map function can have made of an event: a field that is missing or
    of another type.

    Args:
        selection: The expressions.
        mapper: Whose fault that is, for the message.
    """
    code = Code(indent=2)
    array = selection.array
    if array is None:
        _row(code, selection, "return ()")
        several, parts = _parts(code, selection)
        values = f"[{', '.join(parts)}]"
        values = f"({values},)" if len(several) == 1 else code.named(f"({values},)")
        code.line(f"return ({''.join([f'({dims}, {values}), ' for dims in several])})")
    else:
        _grouped(code, selection, array)
    return _compiled(code, lambda fields, error: _explained(selection, mapper, fields, error))


@dataclass(frozen=True, slots=True)
class RowCode:
    """Python of the one row of an event, for who writes a function of `fields` and `time` of it.

    Attributes:
        lines: They compute it, indented once, and return where the event does not count.
        dims: Of each grouping set, the dimensions.
        values: What each measure gets.
        names: What all of it uses.
    """

    lines: tuple[str, ...]
    dims: tuple[str, ...]
    values: tuple[str, ...]
    names: Mapping[str, object]


def row_code(selection: Selection, mapper: str = "a map function") -> RowCode | None:
    """What `compile_rows` computes, and raises; None where an event may have several rows."""
    if selection.array is not None:
        return None
    code = Code(indent=2)
    _row(code, selection, "return")
    dims, values = _parts(code, selection)
    variables = [code.named(value) for value in values]
    names = _names(code, lambda fields, error: _explained(selection, mapper, fields, error))
    lines = ("    try:", *(code.lines or ["        pass"]), *_TAIL)
    return RowCode(lines, tuple(dims), tuple(variables), names)


def compile_value(node: Node) -> Callable[[Mapping[str, object]], object]:
    """The function from an event's fields to the value of one expression without `unnest`."""
    code = Code(indent=2)
    code.line(f"return {code.result(node)}")
    return _compiled(code, lambda fields, error: error)


def _grouped(code: Code, selection: Selection, array: Node) -> None:
    name = code.named(code.result(array))
    code.line(f"if not {name}:")
    code.line("    return ()")
    code.line("groups = {}")
    with code.block(f"for element in {name}:"):
        _row(code, selection, "continue")
        several, values = _parts(code, selection)
        code.line(f"values = [{', '.join(values)}]")
        code.line(f"for dims in ({', '.join(several)},):")
        code.line("    if dims in groups:")
        code.line("        groups[dims].append(values)")
        code.line("    else:")
        code.line("        groups[dims] = [values]")
    code.line("return list(groups.items())")


def _row(code: Code, selection: Selection, otherwise: str) -> None:
    if selection.where is not None:
        code.line(f"if not {code.value(selection.where)}:")
        code.line(f"    {otherwise}")


def _parts(code: Code, selection: Selection) -> tuple[list[str], list[str]]:
    """Python of the dimensions of each grouping set, and of the value of each measure."""
    dims = [code.result(node) for node in selection.by]
    limit = safe_length(selection.by)
    if selection.sets or limit is not None:
        dims = [code.named(value) for value in dims]
    if limit is not None:
        strings = [v for v, n in zip(dims, selection.by, strict=True) if n.type.kind == "string"]
        is_long = [f"type({name}) is str and len({name}) > {limit}" for name in strings]
        texts = code.constant([node.text for node in selection.by])
        code.line(f"if {' or '.join(is_long) if limit else True}:")
        code.line(f"    check_key({texts}, [{', '.join(dims)}])")
    sets = [[str(n), *[dims[i] for i in chosen]] for n, chosen in enumerate(selection.sets)]
    sets = sets or [dims]
    pairs = zip(selection.arguments, selection.timed, strict=True)
    values = [_values(code, nodes, is_timed) for nodes, is_timed in pairs]
    return [f"({''.join([f'{value}, ' for value in chosen])})" for chosen in sets], values


def _values(code: Code, nodes: Sequence[Node], is_timed: bool) -> str:
    if len(nodes) == 1 and not is_timed:
        return code.result(nodes[0])
    names = [code.named(code.result(node)) for node in nodes]
    value = names[0] if len(names) == 1 else f"({', '.join(names)})"
    value = f"({value}, time)" if is_timed else value
    missing = " or ".join(f"{name} is None" for name in names)
    return f"None if {missing} else {value}" if missing else value


def _compiled(code: Code, explain: _Explain) -> Callable[..., Any]:
    head = ["def rows(fields, time=0):", "    try:"]
    source = "\n".join([*head, *code.lines, *_TAIL])
    return cast("Callable[..., Any]", make_function(source, _names(code, explain), "expressions"))


def _names(code: Code, explain: _Explain) -> dict[str, object]:
    names = {**vars(runtime), "to_float": to_float, "wrong_type": wrong_type, **code.names}
    return names | {"missing": _MISSING, "explain": explain, "check_key": check_key}


def _explained(
    selection: Selection, mapper: str, fields: Mapping[str, object], error: Exception
) -> MapError:
    fault = f"has no field {error}" if isinstance(error, KeyError) else f"is unfit: {error}"
    spoiled = [n.text for n in selection.nodes if not array_of(n) and _is_spoiled(n, fields)]
    texts = spoiled[:1] or [node.text for node in selection.nodes]
    return MapError(
        f"{' or '.join(texts)}: the event {fault}; {mapper} must keep every field that a "
        "metric uses, of the type that the schema declares, or drop the event"
    )


def _is_spoiled(node: Node, fields: Mapping[str, object]) -> bool:
    try:
        compile_value(node)(fields)
    except _MISSING:
        return True
    return False
