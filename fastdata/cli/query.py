"""`fastdata query`."""

import asyncio
import json
import math
import sys
import time
import warnings
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Unpack

import click

from fastdata.cli.windows import RangeOptions, ranged

if TYPE_CHECKING:
    import pyarrow as pa

    from fastdata.declare.metric import Metric

__all__ = ["deliver", "listed", "pairs", "printed", "query", "spare_pandas"]


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
    "--where",
    multiple=True,
    metavar="CONDITION",
    help="Which dimensions to answer about, as SQL; all of several must hold.",
)
@click.option(
    "--measures",
    multiple=True,
    metavar="NAMES",
    help="Only these measures, separated by commas or given again, in this order.",
)
@click.option(
    "--order", multiple=True, metavar="COLUMNS", help='Sort the rows, as in "events desc, origin".'
)
@click.option("--limit", type=click.IntRange(1), help="Print so many rows at most.")
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
    where: tuple[str, ...],
    measures: tuple[str, ...],
    order: tuple[str, ...],
    limit: int | None,
    items: tuple[str, ...],
    form: str,
    as_json: bool,
    output: Path | None,
    **interval: Unpack[RangeOptions],
) -> None:
    """Answer METRIC over an interval, from both layers.

    Days, weeks and months are those of --zone, and so are times without an offset; 1h and other
    widths are multiples since 1970 UTC. Without --by, all dimensions are merged; --where may name
    any of them. A measure whose value is not certain shows its bounds, as in 4,021 [3,950, 4,093].
    Below the rows stands up to when the log is read: what is exact counts all that was written
    before.

    \b
    Examples:
      fastdata query departures --from 2013-01-01 --to 2013-02-01 --every 1d --by origin
      fastdata query departures --every month --zone America/New_York
      fastdata query departures --every day --where "origin = 'JFK' and carrier in ('AA', 'B6')"
      fastdata query departures --every all --by carrier --order "flights desc" --limit 3
      fastdata query visits --from 2025-03-01 --every day --rolling 30d --zone Europe/Berlin
      fastdata query departures --every all --by origin,carrier --json
      fastdata query visits --every 1d --item hits=/home
      fastdata query departures --every 1d --format parquet --output departures.parquet
    """  # noqa: D301  (click wants the backspace)
    asked = pairs("--item", items)

    async def answer(metric: "Metric", store: str) -> "pa.Table":
        from fastdata.answer.query import query

        return await query(
            metric,
            **interval,
            by=listed(by),
            where=_all_of(where),
            measures=listed(measures) if measures else None,
            order=order,
            limit=limit,
            items=asked,
            store=store,
        )

    deliver(metric, answer, form, as_json, output)


def _all_of(conditions: Sequence[str]) -> str | None:
    """One condition that holds where all do; None for none."""
    if len(conditions) < 2:
        return next(iter(conditions), None)
    return " AND ".join(f"({condition})" for condition in conditions)


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
    answer: "Callable[[Metric, str], Coroutine[None, None, pa.Table]]",
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
    from fastdata.answer.arrow import describe
    from fastdata.declare.catalog import load_folder
    from fastdata.settings import Settings
    from fastdata.verify.errors_metric import find_metric

    began = time.perf_counter()
    settings = Settings.load()
    declared = find_metric(load_folder(settings.agents), metric)
    spare_pandas()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it is said below, in one line
        table = asyncio.run(answer(declared, settings.store))
    took_s = time.perf_counter() - began
    if (earlier := describe(table)["earlier"]) and (form != "table" or output):
        click.echo(f"fastdata: {earlier['hint']}", err=True)
    if output is None:
        _write(table, form, took_s, click.get_binary_stream("stdout"))
        return
    with output.open("wb") as out:
        _write(table, form, took_s, out)
    rows = "row" if table.num_rows == 1 else "rows"
    click.echo(f"{table.num_rows:,} {rows} written to {output}", err=True)


def spare_pandas() -> None:
    """Have Arrow do without pandas, which it loads to see whether a list is something of it.

    Where pandas is installed that takes a fifth of a second. Who has loaded it keeps it, and who
    asks Arrow for it later gets it.
    """
    import pyarrow as pa

    if "pandas" not in sys.modules:
        sys.meta_path.insert(0, _NoPandas)
        pa.array([])  # it looks for pandas with its first array, and only then
        sys.meta_path.remove(_NoPandas)


class _NoPandas:
    """A finder of modules to which pandas is not installed."""

    @staticmethod
    def find_spec(name: str, _path: object = None, _target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)


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
        from fastdata.cli.tables import table_text

        plain = _with_iso_times(table)
        out.write(table_text(plain, took_s, is_terminal=out.isatty()).encode())
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
