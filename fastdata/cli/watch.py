"""`fastdata query --watch`: the same answer again and again, until it is stopped."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO, Protocol

import click

from fastdata.answer.batches import write_json
from fastdata.cli.reporting import second
from fastdata.cli.signals import on_signal
from fastdata.coordinates.instants import now_ms, to_iso
from fastdata.errors import FastdataError, mask_url

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.live import Live

    from fastdata.store.protocol import ServingStore

__all__ = ["watch"]


async def watch(
    answer: "Callable[[ServingStore], Awaitable[tuple[pa.Table, str | None]]]",
    store: str,
    pause_s: float,
    form: str,
    out: BinaryIO,
) -> None:
    """Show an answer, and again after each pause, until SIGTERM or Ctrl-C.

    A store that is away later on is waited for, and said to be.

    Args:
        answer: Gives the answer, and what is to be said of one without rows.
        store: URL.
        pause_s: Seconds between two answers.
        form: "table", "records" or "json".
        out: Of a terminal, the answer is redrawn in its place; else it is written again whenever it
            has changed.

    Raises:
        FastdataError: There is no first answer, or what trying again cannot heal.
    """
    with _opened_display(form, pause_s, out) as display:
        task = asyncio.create_task(_follow(answer, store, pause_s, display))
        on_signal(task.cancel)
        with suppress(asyncio.CancelledError):
            await task


async def _follow(
    answer: "Callable[[ServingStore], Awaitable[tuple[pa.Table, str | None]]]",
    url: str,
    pause_s: float,
    display: "_Display",
) -> None:
    from fastdata.store.opening import open_store

    is_begun = False
    while True:
        try:
            began = time.perf_counter()
            async with open_store(url, create=False) as store:
                while True:
                    table, instead = await answer(store)
                    display.show(table, time.perf_counter() - began, instead)
                    is_begun = True
                    await asyncio.sleep(pause_s)
                    began = time.perf_counter()
        except FastdataError as error:
            if not (is_begun and error.retriable):
                raise
            display.miss(mask_url(str(error)))
        await asyncio.sleep(pause_s)


class _Display(Protocol):
    """Where answers are shown."""

    def show(self, table: "pa.Table", took_s: float, instead: str | None) -> None:
        """Show an answer."""

    def miss(self, reason: str) -> None:
        """Say that there is none."""


@contextmanager
def _opened_display(form: str, pause_s: float, out: BinaryIO) -> Iterator[_Display]:
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False)
    if form == "json" or not out.isatty() or console.is_dumb_terminal:
        yield _ChangeLog(form, out)
        return
    with Live(console=console, auto_refresh=False) as live:
        yield _LiveDisplay(live, form == "records", pause_s)


class _LiveDisplay:
    """A terminal: the newest answer, and below it when that was."""

    def __init__(self, live: "Live", as_records: bool, pause_s: float) -> None:
        self._live = live
        self._as_records = as_records
        self._pause_s = pause_s
        self._lines: list[str] = []
        self._updated = ""

    def show(self, table: "pa.Table", took_s: float, instead: str | None) -> None:
        """Draw it in the place of the one before."""
        from fastdata.cli.tables import footer_lines, row_lines

        size = self._live.console.size
        below = footer_lines(table, took_s, size.width, instead)
        room = max(3, size.height - len(below) - 3)
        rows = list(islice(row_lines(table, size.width, self._as_records), room + 1))
        if len(rows) > room:
            rows[room - 1 :] = ["… more than has room; --order and --limit choose rows"]
        self._lines = [*rows, *below]
        self._updated = f"last update {second(now_ms())} UTC"
        self._draw(f"every {self._pause_s:g} s, Ctrl-C ends")

    def miss(self, reason: str) -> None:
        """Keep what is shown, and say of when it is."""
        self._draw(f"tried in vain at {second(now_ms())}: {reason}")

    def _draw(self, state: str) -> None:
        from rich.text import Text

        lines = [*self._lines, f"{self._updated} · {state}"]
        self._live.update(Text("\n".join(lines), overflow="fold"), refresh=True)


class _ChangeLog:
    """A pipe or a file: what has changed, with its time."""

    def __init__(self, form: str, out: BinaryIO) -> None:
        self._form = form
        self._out = out
        self._shown: bytes | None = None
        self._is_away = False

    def show(self, table: "pa.Table", took_s: float, instead: str | None) -> None:
        """Write it, unless that would only be said again."""
        if self._is_away:
            click.echo("fastdata: the store answers again", err=True)
        self._is_away = False
        content = _content(table, is_text=self._form != "json")
        if content == self._shown:
            return
        self._shown = content
        now = now_ms()
        if self._form == "json":
            write_json(table, took_s, self._out, at=to_iso(now))
        else:
            from fastdata.cli.tables import footer_lines, row_lines

            rows = row_lines(table, None, self._form == "records")
            for line in [f"{second(now)} UTC", *rows, *footer_lines(table, took_s, None, instead)]:
                self._out.write(f"{line}\n".encode())
            self._out.write(b"\n")
        self._out.flush()

    def miss(self, reason: str) -> None:
        """Say it once."""
        if not self._is_away:
            click.echo(f"fastdata: {reason}; trying again", err=True)
        self._is_away = True


def _content(table: "pa.Table", is_text: bool) -> bytes:
    """What would be a change: all but how far the log is read, which grows without events, too.

    Args:
        is_text: Whether windows that are in progress are said to be.
    """
    import pyarrow as pa
    from pyarrow import compute

    names = [name for name in table.schema.names if name not in ("fresh_until", "read_until")]
    rows = table.select(names).replace_schema_metadata(None)
    if is_text:
        growing = compute.greater(table.column("window_end"), table.column("fresh_until"))
        rows = rows.append_column(pa.field("", pa.bool_()), growing)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_table(rows)
    return bytes(sink.getvalue())
