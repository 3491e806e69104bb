"""An answer as a table for people."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleDimensions
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from fastdata.cli.windows import show_instant, show_window, window_title

if TYPE_CHECKING:
    import pyarrow as pa

    from fastdata.answer.arrow import Description

__all__ = ["table_text"]

# A text that is longer may be broken after so many characters.
_LEAST_TEXT = 24
_GAP = 3


@dataclass(frozen=True, slots=True)
class _ShownColumn:
    """A column as it is shown.

    Attributes:
        cells: Without its name.
        is_text: Or a list, so that it may be broken when it is long.
    """

    name: str
    cells: Sequence[str]
    is_text: bool = False
    is_measure: bool = False

    @property
    def is_breakable(self) -> bool:
        """Whether its lines may be broken."""
        return self.is_text and self._width > _LEAST_TEXT

    @property
    def least_width(self) -> int:
        """How many characters it needs, with the gap behind it."""
        needed = _LEAST_TEXT if self.is_breakable else self._width
        return max(needed, cell_len(self.name)) + _GAP

    @property
    def _width(self) -> int:
        return max(map(cell_len, self.cells), default=0)


def table_text(table: "pa.Table", took_s: float, is_terminal: bool) -> str:
    """The rows as a table, and below it how sure it is.

    In a terminal, measures that have no room beside the others come below them, with the same rows.
    No date and no number is broken, only texts and lists are.

    Args:
        table: Of a query, with instants as ISO text.
        took_s: How long the query took.
        is_terminal: Whether a line has as many characters only as a terminal has.
    """
    from fastdata.answer.arrow import describe

    about, rows, names = describe(table), table.to_pylist(), table.schema.names
    keys = [_ShownColumn(window_title(about), [show_window(row, about) for row in rows])]
    for name in about["by"]:
        is_text = any(isinstance(row[name], str) for row in rows)
        keys.append(_ShownColumn(name, [_shown(row[name]) for row in rows], is_text))
    columns = []
    for name in names:
        if f"{name}_lower" in names and f"{name}_upper" in names:
            is_list = any(isinstance(row[name], list) for row in rows)
            cells = [_bounded(row, name) for row in rows]
            columns.append(_ShownColumn(name, cells, is_list, is_measure=True))
    states = ["gap" if row["gap"] else "exact" if row["exact"] else "fresh" for row in rows]
    certainty = _ShownColumn("", states)
    console = Console(highlight=False, force_terminal=is_terminal, color_system="auto")
    width = console.width if is_terminal else sys.maxsize
    with console.capture() as capture:
        for group in _fitting(keys, columns, certainty, width) if rows else ():
            _print(console, [*keys, *group, certainty], is_terminal)
        console.print(Text(_footer(table, about, took_s, width)), soft_wrap=True)
        if earlier := about["earlier"]:
            console.print(Text(earlier["hint"]), soft_wrap=True)
    return capture.get()


def _fitting(
    keys: Sequence[_ShownColumn], measures: Sequence[_ShownColumn], states: _ShownColumn, width: int
) -> Iterator[Sequence[_ShownColumn]]:
    """The measures in groups that have room beside the keys, or are alone."""
    taken = sum(column.least_width for column in keys) + states.least_width - _GAP
    group: list[_ShownColumn] = []
    used = taken
    for column in measures:
        if group and used + column.least_width > width:
            yield group
            group, used = [], taken
        group.append(column)
        used += column.least_width
    yield group


def _print(console: Console, columns: Sequence[_ShownColumn], is_terminal: bool) -> None:
    shown = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in columns:
        shown.add_column(
            column.name,
            justify="right" if column.is_measure else "left",
            overflow="fold",
            no_wrap=not column.is_breakable,
        )
    for cells in zip(*[column.cells for column in columns], strict=True):
        # As `Text`: a value may look like markup.
        shown.add_row(*map(Text, cells))
    least = sum(column.least_width for column in columns) - _GAP
    if not is_terminal:
        # No reader of a file or a pipe wants lines that are cut at 80 characters.
        least = Measurement.get(console, console.options.update(max_width=10_000), shown).maximum
    console.size = ConsoleDimensions(max(console.width, least), console.height)
    console.print(shown)


def _footer(table: "pa.Table", about: "Description", took_s: float, width: int) -> str:
    exact, gaps = (sum(table.column(name).to_pylist()) for name in ("exact", "gap"))
    rows = table.num_rows
    certain = "all exact" if exact == rows else f"{exact:,} exact"
    first = "first " if rows == about.get("limit") else ""
    nothing = "nothing of that" if about.get("where") else "nothing"
    fresh, read = about["fresh_until"], about["read_until"]
    parts = [
        f"{first}{_counted(rows, 'row')}, {certain}" if rows else f"{nothing} is stored there",
        f"fresh until {show_instant(fresh)} UTC" if fresh else "no worker has run",
        f"read until {show_instant(read)} UTC" if read else "read until an unknown time",
        f"{gaps:,} with gaps" if gaps else "no gaps",
        about["definition"],
        f"{took_s:.2f} s",
    ]
    if about["unfolded"]:
        parts.insert(3, f"{_counted(about['unfolded'], 'late or future event')} left to batch")
    return _joined(parts, width)


def _joined(parts: Sequence[str], width: int) -> str:
    """Parts beside each other, none of them broken, in as few lines as have room for them."""
    lines = [parts[0]]
    for part in parts[1:]:
        longer = f"{lines[-1]} · {part}"
        if cell_len(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(part)
    return "\n".join(lines)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _bounded(row: Mapping[str, object], name: str) -> str:
    value, lower, upper = (row[name + suffix] for suffix in ("", "_lower", "_upper"))
    # As text a NaN is equal to itself.
    if repr(lower) == repr(value) == repr(upper) or _has_bounds(value):
        return _shown(value)
    if isinstance(value, list) and _sizes(value) >= _sizes(lower, upper):
        lowers, uppers = (
            side if isinstance(side, list) else [None] * len(value) for side in (lower, upper)
        )
        rows = zip(value, lowers, uppers, strict=True)
        parts = [_bounded({"": v, "_lower": low, "_upper": up}, "") for v, low, up in rows]
        return ", ".join(parts) or "none"
    bounds = ("?" if bound is None else _shown(bound) for bound in (lower, upper))
    return f"{_shown(value)} [{', '.join(bounds)}]"


def _has_bounds(value: object) -> bool:
    """Whether it has bounds of its own, as an item of a `TopK`."""
    return isinstance(value, dict) and {"item", "count", "lower", "upper"} == value.keys()


def _sizes(*lists: object) -> set[int]:
    return {len(items) for items in lists if isinstance(items, list)}


def _shown(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return str(value).lower()
        case float():
            return f"{value:,.3f}" if value == 0 or abs(value) >= 1 else f"{value:.4g}"
        case int() | Decimal():
            return f"{value:,}"
        case list():
            return ", ".join(map(_shown, value)) or "none"
        case {"item": item, "count": count, "lower": lower, "upper": upper}:
            counted = {"count": count, "count_lower": lower, "count_upper": upper}
            return f"{_shown(item)} {_bounded(counted, 'count')}"
        case dict():
            return " ".join(map(_shown, value.values()))
    text = str(value)
    # What a terminal would obey is shown, not sent.
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
