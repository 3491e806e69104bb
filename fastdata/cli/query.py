"""`fastdata query`."""

import asyncio
import sys
import time
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, BinaryIO, Unpack

import click

from fastdata.answer.batches import write_csv, write_json
from fastdata.cli.completion import complete_metric
from fastdata.cli.replay import Duration
from fastdata.cli.windows import RangeOptions, ranged

if TYPE_CHECKING:
    import pyarrow as pa

    from fastdata.declare.derived import AnyMetric
    from fastdata.store.protocol import ServingStore

    _Answer = Callable[[AnyMetric, ServingStore], Coroutine[None, None, pa.Table]]

__all__ = [
    "declared_metric", "deliver", "listed", "no_warnings", "pairs", "printed", "query",
    "spare_pandas", "write_answer",
]  # fmt: skip


def printed(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options that say how and where rows are printed."""
    options = [
        click.option(
            "--format",
            "form",
            type=click.Choice(("table", "records", "json", "csv", "parquet")),
            default="table",
            show_default=True,
            help="How to print the rows; records have a line for each value.",
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
@click.argument("metric", shell_complete=complete_metric)
@ranged(every="1h")
@click.option(
    "--by", multiple=True, metavar="NAMES", help="Dimensions, separated by commas or given again."
)
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
@click.option(
    "--watch",
    type=Duration(),
    is_flag=False,
    flag_value="1s",
    metavar="[PAUSE]",
    help="Ask again each second, or after each PAUSE as in 5s, until Ctrl-C.",
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
    watch: timedelta | None,
    form: str,
    as_json: bool,
    output: Path | None,
    **interval: Unpack[RangeOptions],
) -> None:
    """Answer METRIC over an interval, from both layers.

    Days, weeks and months are those of --zone, and so are times without an offset; 1h and other
    widths are multiples since 1970 UTC. Without --by, all dimensions are merged; --where may name
    any of them. A measure whose value is not certain shows its bounds, as in 4,021 [3,950, 4,093].
    Each row is exact, fresh, in progress (fresh, and its window is not over yet) or has a gap.
    Below the rows stands up to when the log is read: what is exact counts all that was written
    before. --watch redraws the answer in a terminal; elsewhere it is written again, with the time,
    whenever a row has changed: as a line of JSON with --json.

    \b
    Examples:
      fastdata query departures --last 24h --watch
      fastdata query departures --from yesterday --to today --by origin
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

    async def answer(metric: "AnyMetric", store: "ServingStore") -> "pa.Table":
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

    deliver(metric, answer, interval, form, as_json, output, watch)


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
    answer: "_Answer",
    interval: RangeOptions,
    form: str,
    as_json: bool,
    output: Path | None,
    watch_every: timedelta | None = None,
) -> None:
    """Wait for an answer and print it as the options of `printed` say.

    Args:
        answer: Is given the metric that is declared by that name, and the open store.
        interval: What is asked for.
        watch_every: After which pause it is asked again, and so on; None for once.
    """
    form = "json" if as_json else form
    _refuse(form, output, watch_every)
    declared, store = declared_metric(metric)
    is_text = form in ("table", "records")

    async def ask(opened: "ServingStore") -> "tuple[pa.Table, str | None]":
        table = await answer(declared, opened)
        if table.num_rows or not is_text:
            return table, None
        from fastdata.cli.empty import why_empty

        return table, await why_empty(declared, table, interval, opened)

    stdout = click.get_binary_stream("stdout")
    with no_warnings():
        if watch_every is not None:
            from fastdata.cli.watch import watch

            asyncio.run(watch(ask, store, watch_every.total_seconds(), form, stdout))
            return
        table, instead, took_s = asyncio.run(_once(ask, store))
    if (earlier := _earlier(table)) and (output or not is_text):
        click.echo(f"fastdata: {earlier}", err=True)
    if output is None:
        write_answer(table, form, took_s, stdout, instead)
        return
    with output.open("wb") as out:
        write_answer(table, form, took_s, out, instead)
    rows = "row" if table.num_rows == 1 else "rows"
    click.echo(f"{table.num_rows:,} {rows} written to {output}", err=True)


def _refuse(form: str, output: Path | None, watch_every: timedelta | None) -> None:
    if watch_every is not None and (output is not None or form in ("csv", "parquet")):
        raise click.UsageError(
            "--watch shows tables, records or --json: leave out --output and other formats"
        )
    if form == "parquet" and output is None and sys.stdout.isatty():
        raise click.UsageError("parquet is binary: give --output FILE, or redirect it to one")


async def _once(
    ask: "Callable[[ServingStore], Awaitable[tuple[pa.Table, str | None]]]", store: str
) -> "tuple[pa.Table, str | None, float]":
    """An answer, what is said of one without rows, and how many seconds it took."""
    from fastdata.store.opening import open_store

    began = time.perf_counter()
    async with open_store(store, create=False) as opened:
        table, instead = await ask(opened)
    return table, instead, time.perf_counter() - began


def _earlier(table: "pa.Table") -> str | None:
    """What is to be done where only an earlier definition has been counted."""
    from fastdata.answer.arrow import describe

    earlier = describe(table)["earlier"]
    return earlier["hint"] if earlier else None


def declared_metric(name: str) -> "tuple[AnyMetric, str]":
    """The metric of that name, and the URL of the store."""
    from fastdata.declare.catalog import load_folder
    from fastdata.settings import Settings
    from fastdata.verify.errors_metric import find_asked

    settings = Settings.load()
    metric = find_asked(load_folder(settings.agents), name)
    spare_pandas()
    return metric, settings.store


@contextmanager
def no_warnings() -> Iterator[None]:
    """Without the warning of a definition before the present one: it is said in one line."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


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


def write_answer(
    table: "pa.Table", form: str, took_s: float, out: BinaryIO, instead: str | None = None
) -> None:
    """Write an answer as the word after --format says: table, json, csv or parquet."""
    if form == "parquet":
        from pyarrow import parquet

        parquet.write_table(table, out)
    elif form == "csv":
        write_csv(table, out)
    elif form == "json":
        write_json(table, took_s, out)
    else:
        from fastdata.cli.tables import footer_lines, row_lines

        width = get_terminal_size().columns if out.isatty() else None
        for line in row_lines(table, width, as_records=form == "records"):
            out.write(f"{line}\n".encode())
        for line in footer_lines(table, took_s, width, instead):
            out.write(f"{line}\n".encode())
    out.flush()
