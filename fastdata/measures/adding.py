"""One Python function of all aggregates of a metric, where a loop would cost as much as they do."""

from collections.abc import Callable, Sequence
from typing import Any, cast
from zlib import crc32

from fastdata.events.functions import make_function
from fastdata.measures.aggregate import CALL, Aggregate, State
from fastdata.measures.envelope import head_of, pack, short_heads

__all__ = ["Adding", "Dumping", "adding_code", "compile_adding", "compile_dumping", "compile_zero"]

Adding = Callable[[list[State], Sequence[object]], None]
"""Folds values, one for each state, into the states, in place.

It raises MapError for a value whose type a map function has changed.
"""

Dumping = Callable[[Sequence[State]], bytes]
"""Wraps states into the envelope that `pack` makes; it raises what `pack` raises."""


def compile_adding(aggregates: Sequence[tuple[Aggregate, bool]]) -> Adding:
    """The function that folds an event's values.

    Args:
        aggregates: And whether each folds None as well, because it has no argument.
    """
    lines, names = adding_code(aggregates, [f"values[{n}]" for n in range(len(aggregates))])
    source = "\n    ".join(["def add_values(states, values):", *lines])
    return cast("Adding", make_function(source, names, "adding"))


def adding_code(
    aggregates: Sequence[tuple[Aggregate, bool]], values: Sequence[str]
) -> tuple[list[str], dict[str, object]]:
    """The lines of such a function, and what they use.

    Args:
        aggregates: As of `compile_adding`.
        values: Python of the value for each.
    """
    lines = []
    for index, ((aggregate, folds_none), value) in enumerate(zip(aggregates, values, strict=True)):
        lines.append("if True:" if folds_none else f"if {value} is not None:")
        code = getattr(aggregate, "add_code", CALL).format(
            state=f"states[{index}]", value=value, add=f"add{index}"
        )
        lines += [f"    {line}" for line in code.split("\n")]
    return lines, {f"add{n}": a.add for n, (a, _) in enumerate(aggregates)}


def compile_zero(aggregates: Sequence[Aggregate]) -> Callable[[bool], list[State]]:
    """The function that makes the states of a new cell, exact ones if it is told so."""
    names = {f"zero{n}": aggregate.zero for n, aggregate in enumerate(aggregates)}
    zeros = ", ".join([f"{name}(exact)" for name in names])
    source = f"def make_zero(exact):\n    return [{zeros}]"
    return cast("Callable[[bool], list[State]]", make_function(source, names, "zero"))


def compile_dumping(aggregates: Sequence[Aggregate]) -> Dumping:
    """The function that dumps states: there is one for each row that is written."""
    names: dict[str, Any] = {"pack": pack, "crc32": crc32, "head": head_of(len(aggregates))}
    lines, parts, pieces = ["def dump(states):"], "", ["head"]
    for n, aggregate in enumerate(aggregates):
        names |= {f"dump{n}": aggregate.dump, f"heads{n}": short_heads(aggregate.code)}
        lines.append(f"    part{n} = dump{n}(states[{n}])")
        parts += f"({aggregate.code}, part{n}), "
        pieces += [f"heads{n}[len(part{n})]", f"part{n}"]
    lines += [
        "    try:",
        f"        out = b''.join(({', '.join(pieces)},))",
        "    except IndexError:  # a part that is not short",
        f"        return pack(({parts}))",
        "    return out + crc32(out).to_bytes(4, 'big')",
    ]
    return cast("Dumping", make_function("\n".join(lines), names, "dumping"))
