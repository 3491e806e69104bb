"""Answers in notebooks: a table of values, with their bounds and how sure each row is."""

import sys
from collections.abc import Iterator, Mapping
from html import escape
from itertools import islice
from zoneinfo import ZoneInfo

import pyarrow as pa

from fastdata.answer.arrow import Description, describe
from fastdata.coordinates.instants import parse_instant, to_datetime
from fastdata.errors import QueryError

__all__ = ["answer_html", "show_in_notebooks"]

_MOST_ROWS = 50
_MOST_ITEMS = 10  # of a list


def show_in_notebooks() -> None:
    """Have IPython show answers by `answer_html`, where it runs and shows tables in no other way.

    An answer is an Arrow table, a type that nobody can make another one of.
    """
    if "IPython" not in sys.modules:
        return
    from IPython import get_ipython  # type: ignore[import-not-found,unused-ignore]

    shell = get_ipython()
    formatter = shell.display_formatter.formatters["text/html"] if shell else None
    if formatter is not None and pa.Table not in formatter:
        formatter.for_type(pa.Table, answer_html)


def answer_html(table: pa.Table) -> str | None:
    """An answer as HTML, its first rows at most; None for a table that no query made."""
    try:
        about = describe(table)
    except QueryError:
        return None
    bounded = [name for name in table.schema.names if f"{name}_lower" in table.schema.names]
    names = ["window_start", "window_end", *about["by"], *bounded, "exact"]
    rows = "".join(f"<tr>{_cells('td', row)}</tr>" for row in _rows(table, about, bounded))
    left = table.num_rows - _MOST_ROWS
    more = f"<p>… {left:,} more rows</p>" if left > 0 else ""
    return (
        f"<table><thead><tr>{_cells('th', names)}</tr></thead><tbody>{rows}</tbody></table>"
        f"{more}<p>{escape(_footer(table, about))}</p>"
    )


def _rows(table: pa.Table, about: Description, measures: list[str]) -> Iterator[list[str]]:
    from fastdata.answer.batches import batches
    from fastdata.answer.cells import is_growing, shown

    (piece,) = batches(table.slice(0, _MOST_ROWS))
    for row in piece.to_pylist():
        yield [
            *(_local(row[name], about["zone"]) for name in ("window_start", "window_end")),
            *(shown(row[name]) for name in about["by"]),
            *(_measure(row, name) for name in measures),
            "in progress" if is_growing(row, about["fresh_until"]) else _certainty(row),
        ]


def _certainty(row: Mapping[str, object]) -> str:
    return "gap" if row["gap"] else "yes" if row["exact"] else "no"


def _local(text: str, zone: str) -> str:
    local = to_datetime(parse_instant(text)).astimezone(ZoneInfo(zone))
    return f"{local:%Y-%m-%d %H:%M}"


def _measure(row: Mapping[str, object], name: str) -> str:
    from fastdata.answer.cells import parts_of

    parts = parts_of(row, name)
    more = [f"… {len(parts) - _MOST_ITEMS:,} more"] if len(parts) > _MOST_ITEMS else []
    return ", ".join([*islice(parts, _MOST_ITEMS), *more]) or "none"


def _cells(tag: str, texts: list[str]) -> str:
    return "".join(f"<{tag}>{escape(text)}</{tag}>" for text in texts)


def _footer(table: pa.Table, about: Description) -> str:
    parts = [
        f"{about['metric']}: {table.num_rows:,} row{'' if table.num_rows == 1 else 's'}",
        f"windows in {about['zone']}",
        f"fresh until {about['fresh_until'] or 'unknown'}",
        f"read until {about['read_until'] or 'unknown'}",
    ]
    return " · ".join(parts)
