"""`fastdata query`."""

import asyncio
import json
import math
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Unpack

import click

from fastdata.cli.windows import RangeOptions, ranged, show_instant, show_window, window_title
from fastdata.declare.catalog import load_folder
from fastdata.declare.metric import Metric
from fastdata.settings import Settings
from fastdata.verify.errors_metric import find_metric

if TYPE_CHECKING:
    import pyarrow as pa

    from fastdata.answer.arrow import Description

__all__ = ["deliver", "listed", "pairs", "printed", "query"]


def printed(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options that say how and where rows are printed."""
    options = [
        click.option(
            "--format",
            "form",
            type=click.Choice(("table", "json", "csv", "parquet")),
            default="table",
            show_default=True,
            help="How to print the rows.",
        ),
        click.option("--json", "as_json", is_flag=True, help="The same as --format json."),
        click.option(
            "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file."
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.command(short_help="Answer a metric over an interval.")
@click.argument("metric")
@ranged(every="1h")
@click.option("--by", multiple=True, help="Dimensions, separated by commas or given again.")
@click.option(
    "--item",
    "items",
    multiple=True,
    metavar="MEASURE=ITEM",
    help="What a Frequency or Seen is asked about.",
)
@printed
def query(
    metric: str,
    by: tuple[str, ...],
    items: tuple[str, ...],
    form: str,
    as_json: bool,
    output: Path | None,
    **interval: Unpack[RangeOptions],
) -> None:
    """Answer METRIC over an interval, from both layers.

    Days, weeks and months are those of --zone, and so are times without an offset; 1h and other
    widths are multiples since 1970 UTC. Without --by, all dimensions are merged. A measure whose
    value is not certain shows its bounds, as in 4,021 [3,950, 4,093].

    \b
    Examples:
      fastdata query departures --from 2013-01-01 --to 2013-02-01 --every 1d --by origin
      fastdata query departures --every month --zone America/New_York
      fastdata query visits --from 2025-03-01 --every day --rolling 30d --zone Europe/Berlin
      fastdata query departures --every all --by origin,carrier --json
      fastdata query visits --every 1d --item hits=/home
      fastdata query departures --every 1d --format parquet --output departures.parquet
    """  # noqa: D301  (click wants the backspace)
    asked = pairs("--item", items)

    async def answer(metric: Metric, store: str) -> "pa.Table":
        from fastdata.answer.query import query

        return await query(metric, **interval, by=listed(by), items=asked, store=store)

    deliver(metric, answer, form, as_json, output)


def listed(texts: Sequence[str]) -> list[str]:
    """The names of an option with commas between them, or that is given again."""
    return [name.strip() for text in texts for name in text.split(",") if name.strip()]


def pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    """The names and values of options such as `--item hits=/home`."""
    for text in texts:
        if "=" not in text:
            raise click.UsageError(f"{option} {text}: give a name and a value, as in NAME=VALUE")
    return dict(text.split("=", 1) for text in texts)


def deliver(
    metric: str,
    answer: Callable[[Metric, str], Coroutine[None, None, "pa.Table"]],
    form: str,
    as_json: bool,
    output: Path | None,
) -> None:
    """Wait for an answer and print it as the options of `printed` say.

    Args:
        answer: Is given the metric that is declared by that name, and the URL of the store.
    """
    form = "json" if as_json else form
    if form == "parquet" and output is None and sys.stdout.isatty():
        raise click.UsageError("parquet is binary: give --output FILE, or redirect it to one")
    began = time.perf_counter()
    settings = Settings.load()
    declared = find_metric(load_folder(settings.agents), metric)
    table = asyncio.run(answer(declared, settings.store))
    took_s = time.perf_counter() - began
    if output is None:
        _write(table, form, took_s, click.get_binary_stream("stdout"))
        return
    with output.open("wb") as out:
        _write(table, form, took_s, out)
    click.echo(f"{_counted(table.num_rows, 'row')} written to {output}", err=True)


def _write(table: "pa.Table", form: str, took_s: float, out: BinaryIO) -> None:
    if form == "parquet":
        from pyarrow import parquet

        parquet.write_table(table, out)
    elif form == "csv":
        from pyarrow import csv

        csv.write_csv(_with_text_lists(_with_iso_times(table)), out)
    elif form == "json":
        out.write(_json(table, took_s).encode())
    else:
        out.write(_text(table, took_s, is_terminal=out.isatty()).encode())
    out.flush()


def _with_iso_times(table: "pa.Table") -> "pa.Table":
    for index, field in enumerate(table.schema):
        column = _iso(table.column(index).combine_chunks())
        table = table.set_column(index, field.name, column)
    return table


def _iso(array: "pa.Array") -> "pa.Array":
    """The same with timestamps as text, also in lists and structs."""
    # Arrow formats any instant; a `datetime` only those of the years 1 to 9999.
    import pyarrow as pa
    from pyarrow import compute

    if pa.types.is_timestamp(array.type):
        text = compute.replace_substring(array.cast(pa.string()), " ", "T")
        return compute.replace_substring_regex(text, r"\.0+Z$", "Z")
    if pa.types.is_list(array.type):
        items, mask = _iso(array.values), array.is_null()
        return pa.ListArray.from_arrays(array.offsets, items, mask=mask)
    if pa.types.is_struct(array.type):
        names = [field.name for field in array.type]
        items = [_iso(array.field(name)) for name in names]
        return pa.StructArray.from_arrays(items, names, mask=array.is_null())
    return array


def _with_text_lists(table: "pa.Table") -> "pa.Table":
    """The same with lists as JSON: CSV has none."""
    import pyarrow as pa

    for index, field in enumerate(table.schema):
        if pa.types.is_list(field.type):
            lists = (_jsonable(value) for value in table.column(index).to_pylist())
            texts = [
                None if items is None else json.dumps(items, ensure_ascii=False) for items in lists
            ]
            table = table.set_column(index, field.name, pa.array(texts, pa.string()))
    return table


def _json(table: "pa.Table", took_s: float) -> str:
    from fastdata.answer.arrow import describe

    rows = [
        {name: _jsonable(value) for name, value in row.items()}
        for row in _with_iso_times(table).to_pylist()
    ]
    answer = {**describe(table), "took_s": round(took_s, 3), "rows": rows}
    return json.dumps(answer, ensure_ascii=False, allow_nan=False) + "\n"


def _jsonable(value: object) -> object:
    if isinstance(value, list):
        return [_jsonable(item) for item in value]
    if isinstance(value, dict):
        return {name: _jsonable(item) for name, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def _text(table: "pa.Table", took_s: float, is_terminal: bool) -> str:
    """The rows as a table for people, and a line about how sure it is."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    from fastdata.answer.arrow import describe

    about = describe(table)
    plain = _with_iso_times(table)
    names = plain.schema.names
    measures = [n for n in names if f"{n}_lower" in names and f"{n}_upper" in names]
    shown = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in (window_title(about), *about["by"]):
        shown.add_column(name, overflow="fold")
    for name in measures:
        shown.add_column(name, justify="right", overflow="fold")
    shown.add_column("")
    for row in plain.to_pylist():
        cells = [show_window(row, about), *(_shown(row[name]) for name in about["by"])]
        cells += [_bounded(row, name) for name in measures]
        # As `Text`: a value may look like markup.
        shown.add_row(*map(Text, cells), Text(_state(row)))
    console = Console(highlight=False, force_terminal=is_terminal, color_system="auto")
    if not is_terminal:
        # No reader of a file or a pipe wants lines that are cut at 80 characters.
        console.width = max(
            80, Measurement.get(console, console.options.update(max_width=10_000), shown).maximum
        )
    with console.capture() as capture:
        if table.num_rows:
            console.print(shown)
        console.print(Text(_footer(table, about, took_s)), soft_wrap=True)
    return capture.get()


def _footer(table: "pa.Table", about: "Description", took_s: float) -> str:
    exact, gaps = (sum(table.column(name).to_pylist()) for name in ("exact", "gap"))
    rows = table.num_rows
    certain = "all exact" if exact == rows else f"{exact:,} exact"
    fresh = about["fresh_until"]
    parts = [
        f"{_counted(rows, 'row')}, {certain}" if rows else "nothing is stored there",
        f"fresh until {show_instant(fresh)} UTC" if fresh else "no worker has run",
        f"{gaps:,} with gaps" if gaps else "no gaps",
        about["definition"],
        f"{took_s:.2f} s",
    ]
    if about["unfolded"]:
        parts.insert(2, f"{_counted(about['unfolded'], 'late or future event')} left to batch")
    return " · ".join(parts)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _state(row: Mapping[str, object]) -> str:
    return "gap" if row["gap"] else "exact" if row["exact"] else "fresh"


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
