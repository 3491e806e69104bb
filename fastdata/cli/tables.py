"""An answer for people: as a table, or as a record for each row where a row has no room."""

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count, zip_longest
from typing import TYPE_CHECKING

from fastdata.answer.batches import batches
from fastdata.answer.cells import bounded, folded, is_growing, parts_of, shortened, shown, width_of
from fastdata.cli.windows import show_instant, show_window, window_title

if TYPE_CHECKING:
    import pyarrow as pa

    from fastdata.answer.arrow import Description

__all__ = ["footer_lines", "row_lines"]

_GAP = "   "
_MOST_LINES = 4  # of a text in a cell; a record has all of it
_Row = Mapping[str, object]
_Cell = str | Sequence[str]  # the items of a list


@dataclass(slots=True)
class _ShownColumn:
    """A column as it is shown.

    Attributes:
        cell: Of a row, what is shown of it.
        is_text: Or else it may not be broken.
        is_right: Whether cells end below each other, as those of numbers.
        least: The least width; its texts are then broken, its lists shortened.
        full: The width that it would have if nothing were broken or shortened.
    """

    name: str
    cell: Callable[[_Row], _Cell]
    is_text: bool = False
    is_measure: bool = False
    is_right: bool = False
    least: int = 0
    full: int = 0

    def lines(self, cell: _Cell, width: int) -> list[str]:
        """A cell in lines of a width."""
        if not isinstance(cell, str):
            return [shortened(cell, width)]
        return folded(cell, width, _MOST_LINES) if self.is_text else [cell]

    def widen(self, cell: _Cell, least_text: int) -> None:
        """Take note of a cell's width."""
        if not isinstance(cell, str):
            full = width_of(", ".join(cell) or "none")
            least = width_of(shortened(cell, 0))
        else:
            full = width_of(cell)
            least = min(full, least_text) if self.is_text else full
        self.full, self.least = max(self.full, full), max(self.least, least)


def row_lines(table: "pa.Table", width: int | None, as_records: bool = False) -> Iterator[str]:
    """The rows of an answer as lines, made as they are asked for.

    No number and no date is ever broken or cut. Where a row has no room, measures come below
    others, with the same rows; long texts are broken and lists shortened; and where that is not
    enough, or if asked for, each row is a record, with a line for each value.

    Args:
        table: Of a query.
        width: Columns of the terminal; None for lines as long as they need be.
    """
    columns = _columns(table, width)
    if as_records:
        return _records(table, columns, width)
    _measure(table, columns, width)
    *keys, state = [column for column in columns if not column.is_measure]
    groups = [[column for column in columns if column.is_measure]]
    if width is not None and _taken(columns, full=True) > width:
        groups = _groups([*keys, state], groups[0], width)
        if any(_taken([*keys, *group, state]) > width for group in groups):
            return _records(table, columns, width)
    return (line for group in groups for line in _table(table, [*keys, *group, state], width))


def footer_lines(
    table: "pa.Table", took_s: float, width: int | None, instead: str | None = None
) -> list[str]:
    """How sure an answer is, and how fresh.

    Args:
        table: Of a query.
        took_s: How long that took.
        width: Columns of the terminal; None for one line.
        instead: What is said of an answer without rows.
    """
    from fastdata.answer.arrow import describe

    about, rows = describe(table), table.num_rows
    exact, gaps = (_true(table.column(name)) for name in ("exact", "gap"))
    certain = "all exact" if exact == rows else f"{exact:,} exact"
    first = "first " if rows == about.get("limit") else ""
    fresh, read = about["fresh_until"], about["read_until"]
    parts = [
        f"{first}{_counted(rows, 'row')}, {certain}" if rows else instead or "no rows",
        f"fresh until {show_instant(fresh)} UTC" if fresh else "no worker has run",
        f"read until {show_instant(read)} UTC" if read else "read until an unknown time",
        f"{gaps:,} with gaps" if gaps else "no gaps",
        about["definition"],
        f"{took_s:.2f} s",
    ]
    if about["unfolded"]:
        parts.insert(3, f"{_counted(about['unfolded'], 'late or future event')} left to batch")
    lines = _joined(parts, width)
    return lines + (_joined([about["earlier"]["hint"]], width) if about["earlier"] else [])


def _true(column: "pa.ChunkedArray") -> int:
    from pyarrow import compute

    return compute.sum(column).as_py() or 0


def _columns(table: "pa.Table", width: int | None) -> list[_ShownColumn]:
    """The window, the dimensions, the measures, and how sure a row is."""
    import pyarrow as pa

    from fastdata.answer.arrow import describe

    about, schema = describe(table), table.schema
    columns = [_ShownColumn(window_title(about), _windows(about))]
    for name in about["by"]:
        is_text = pa.types.is_string(schema.field(name).type)
        columns.append(_ShownColumn(name, _dimension(name), is_text))
    longest = None if width is None else max(8, width // 4)
    for name in schema.names:
        if f"{name}_lower" in schema.names and f"{name}_upper" in schema.names:
            type_ = schema.field(name).type
            is_text, is_list = pa.types.is_string(type_), pa.types.is_list(type_)
            cell = _list(name, longest) if is_list else _value(name)
            is_right = not (is_text or is_list)
            columns.append(_ShownColumn(name, cell, is_text, is_measure=True, is_right=is_right))
    for column in columns:
        column.name = shown(column.name)
    return [*columns, _ShownColumn("", _state(about["fresh_until"]))]


def _windows(about: "Description") -> Callable[[_Row], str]:
    @lru_cache(maxsize=256)  # neighbors are mostly of one window
    def window(start: object, end: object) -> str:
        return show_window({"window_start": start, "window_end": end}, about)

    return lambda row: window(row["window_start"], row["window_end"])


def _dimension(name: str) -> Callable[[_Row], str]:
    return lambda row: shown(row[name])


def _list(name: str, longest: int | None) -> Callable[[_Row], _Cell]:
    return lambda row: parts_of(row, name, longest)


def _value(name: str) -> Callable[[_Row], _Cell]:
    return lambda row: bounded(row, name)


def _state(fresh_until: str | None) -> Callable[[_Row], str]:
    def state(row: _Row) -> str:
        if is_growing(row, fresh_until):
            return "in progress"
        return "gap" if row["gap"] else "exact" if row["exact"] else "fresh"

    return state


def _measure(table: "pa.Table", columns: Sequence[_ShownColumn], width: int | None) -> None:
    """Find the widths of the columns, which takes a look at all rows."""
    least_text = 24 if width is None else min(24, max(8, width // 4))
    for column in columns:
        column.full = width_of(column.name)
        column.least = min(column.full, least_text)
    for row in _rows(table):
        for column in columns:
            column.widen(column.cell(row), least_text)


def _rows(table: "pa.Table") -> Iterator[_Row]:
    return (row for piece in batches(table) for row in piece.to_pylist())


def _taken(columns: Sequence[_ShownColumn], full: bool = False) -> int:
    """How wide a table of these columns is, at least or in full."""
    widths = [column.full if full else column.least for column in columns]
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _groups(
    others: Sequence[_ShownColumn], measures: Sequence[_ShownColumn], width: int
) -> list[list[_ShownColumn]]:
    """The measures in groups that have room beside the other columns, or are alone."""
    groups: list[list[_ShownColumn]] = [[]]
    for column in measures:
        if groups[-1] and _taken([*others, *groups[-1], column]) > width:
            groups.append([])
        groups[-1].append(column)
    return groups


def _table(table: "pa.Table", columns: Sequence[_ShownColumn], width: int | None) -> Iterator[str]:
    """A head, a rule, and the rows."""
    if not table.num_rows:
        return
    widths = _widths(columns, width)
    heads = [folded(c.name, w) for c, w in zip(columns, widths, strict=True)]
    yield from _beside(columns, heads, widths)
    yield "─" * (sum(widths) + len(_GAP) * (len(widths) - 1))
    for row in _rows(table):
        cells = [c.lines(c.cell(row), w) for c, w in zip(columns, widths, strict=True)]
        yield from _beside(columns, cells, widths)


def _widths(columns: Sequence[_ShownColumn], width: int | None) -> list[int]:
    """The full widths where there is room; else what is over, shared by those that need it."""
    if width is None or _taken(columns, full=True) <= width:
        return [column.full for column in columns]
    over = width - _taken(columns)
    widths = [column.least for column in columns]
    in_need = sorted(range(len(columns)), key=lambda i: columns[i].full - columns[i].least)
    for others, index in zip(count(len(columns), -1), in_need, strict=False):
        more = min(columns[index].full - columns[index].least, over // others)
        widths[index] += more
        over -= more
    return widths


def _beside(
    columns: Sequence[_ShownColumn], cells: Sequence[Sequence[str]], widths: Sequence[int]
) -> Iterator[str]:
    """Cells beside each other, in as many lines as the longest of them has."""
    for line in zip_longest(*cells, fillvalue=""):
        padded = []
        for column, text, width in zip(columns, line, widths, strict=True):
            blank = " " * (width - width_of(text))
            padded.append(blank + text if column.is_right else text + blank)
        yield _GAP.join(padded).rstrip()


def _records(
    table: "pa.Table", columns: Sequence[_ShownColumn], width: int | None
) -> Iterator[str]:
    """A title for each row, and below it a line for each value, or several for one."""
    *columns, state = columns
    longest = max(width_of(column.name) for column in columns)
    beside = longest if width is None else min(longest, width // 3)
    room = None if width is None else max(8, width - beside - 2)
    for number, row in enumerate(_rows(table), 1):
        title = f"── {number:,} · {state.cell(row)} "
        yield title + "─" * (min(width or 60, 60) - len(title))
        for column in columns:
            cell = column.cell(row)
            if isinstance(cell, str):
                values = folded(cell, room) if room and column.is_text else [cell]
            else:
                items = [f"{item}," for item in cell[:-1]] + [*cell[-1:]]
                values = _packed(items or ["none"], room, " ")
            for name, value in zip_longest(folded(column.name, beside), values, fillvalue=""):
                yield f"{name}{' ' * (beside - width_of(name))}  {value}".rstrip()


def _joined(parts: Sequence[str], width: int | None) -> list[str]:
    """Parts beside each other, in as few lines as have room for them; no word is broken."""
    if width is not None:
        words = textwrap.TextWrapper(width, break_long_words=False, break_on_hyphens=False)
        parts = [line for part in parts for line in words.wrap(part)]
    return _packed(parts, width, " · ")


def _packed(parts: Sequence[str], width: int | None, gap: str) -> list[str]:
    """Parts beside each other, as many in a line as have room."""
    lines = [parts[0]]
    for part in parts[1:]:
        longer = lines[-1] + gap + part
        if width is None or width_of(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(part)
    return lines


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
