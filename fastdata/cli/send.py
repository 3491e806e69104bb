"""`fastdata send`."""

import asyncio
import os
import stat
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import click

from fastdata.cli.bars import open_bar
from fastdata.cli.running import settings_here
from fastdata.cli.signals import on_signal
from fastdata.errors import FastdataError, LineError, did_you_mean

if TYPE_CHECKING:
    from fastdata.declare.source import Source
    from fastdata.files.rows import FileRow
    from fastdata.kafka.lines import LineSender

__all__ = ["send"]

_Address = tuple[str, int]
_Format = Literal["lines", "json", "csv", "avro", "parquet"]
_Rows = tuple[Iterator["FileRow"], Callable[[dict[str, Any]], bytes]]
_BATCH_ROWS = 500


@click.command(short_help="Send lines of a file, a pipe or TCP connections to a topic.")
@click.argument("topic")
@click.option(
    "--from-file",
    type=click.Path(path_type=Path),
    help="Send the lines or rows of a file, then end. [default: standard input]",
)
@click.option(
    "--format",
    type=click.Choice(["lines", "csv", "avro", "parquet"]),
    help="What is read. [default: what a file is, else lines]",
)
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help="Take TCP connections and send each of their lines, until Ctrl-C.",
)
@click.option("--force", is_flag=True, help="Also to a topic that no source in the agents reads.")
def send(
    topic: str, from_file: Path | None, format: _Format | None, listen: str | None, *, force: bool
) -> None:
    """Send lines of a file, a pipe or TCP connections to a topic of FASTDATA_BROKER.

    A line is one value, for a source with format="text" or format="json". A row of a .csv, of an
    Avro container or of Parquet is sent as one JSON object, typed by the schema of that source.
    Where the agents declare it with an id, a value has its id for a key, so that repeats meet in
    one partition; others go to any. What will be a dead letter is sent, counted and told; a row
    that cannot be read is told and not sent.

    At least once: what is acknowledged is in Kafka, and after a failure the rest must be sent
    again. When Kafka is slow, nothing more is read, so who writes has to wait. SIGTERM and Ctrl-C
    end a pipe, or --listen, when the whole lines that were read are there. Whoever can connect to
    --listen can write: keep it on the loopback.

    \b
    Examples:
      fastdata send access_log --from-file /var/log/apache2/access.log
      tail -F access.log | fastdata send access_log
      fastdata send orders --from-file orders.parquet
      fastdata send lines --listen 127.0.0.1:9999
    """  # noqa: D301  (click wants the backspace)
    if from_file is not None and listen is not None:
        raise click.UsageError("give --from-file or --listen, not both")
    if listen is not None and format not in (None, "lines"):
        raise click.UsageError(f"--listen takes lines, and no {format}")
    address = None if listen is None else _address(listen)
    asyncio.run(_send(topic, from_file, format, address, force))


def _address(text: str) -> _Address:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise click.UsageError(f"--listen is {text!r}; give it as in 127.0.0.1:9999")
    return host.strip("[]"), int(port)


async def _send(
    topic: str, path: Path | None, format: _Format | None, address: _Address | None, force: bool
) -> None:
    from fastdata.files.values import ValueCheck
    from fastdata.kafka.connection import Broker
    from fastdata.kafka.lines import LineSender, read_descriptor, send_lines

    settings = settings_here()
    source = _reader_of(_readers(topic, settings.agents, force))
    check = ValueCheck(source)
    unread, first = 0, ""
    with ExitStack() as stack:
        file = sys.stdin.buffer if path is None else stack.enter_context(path.open("rb"))
        rows = None if address else _open_rows(file, path, format, source)
        async with LineSender(Broker.of(settings), topic, check.key_of) as sender:
            if address is not None:
                await _listen(sender, address)
            elif rows is not None:
                unread, first = await _send_rows(stack, sender, rows)
            else:
                descriptor = file.fileno()
                if path is None:
                    stop = _stop_of_pipe(descriptor)
                    await send_lines(sender, read_descriptor(descriptor, stop), stop)
                else:
                    if stat.S_ISREG(os.fstat(descriptor).st_mode):
                        os.lseek(descriptor, 0, os.SEEK_SET)  # a look at its format has moved it
                    chunks = _watched(read_descriptor(descriptor), stack, sender)
                    await send_lines(sender, chunks)
    click.echo(f"{sender.acknowledged} lines are in {topic}", err=True)
    if unread:
        _warn(f"{unread} rows cannot be read and were not sent; {first}")
    if check.bad:
        _warn(f"{check.bad} of them will be dead letters; the first is line {check.first}")


async def _watched(
    chunks: AsyncIterator[bytes], stack: ExitStack, sender: "LineSender"
) -> AsyncIterator[bytes]:
    """The chunks of a file, with a bar that shows how far it is sent."""
    show = _open_bar(stack, sender, "lines")
    async for chunk in chunks:
        show()
        yield chunk


def _open_bar(stack: ExitStack, sender: "LineSender", unit: str) -> Callable[[], None]:
    show = open_bar(stack, "send", unit, lambda: {"completed": sender.acknowledged})
    return show or (lambda: None)


def _stop_of_pipe(descriptor: int) -> asyncio.Event:
    """Set by a signal where a pipe or a terminal is read, which has no end of its own."""
    stop = asyncio.Event()
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        on_signal(stop.set)
    return stop


def _readers(topic: str, agents: str, force: bool) -> "list[Source]":
    """The sources that read the topic, with a warning when lines are of no use to them.

    Who only sends may have no agents at all.

    Raises:
        UsageError: There are agents, and none of their sources reads the topic.
    """
    from fastdata.declare.catalog import load_folder

    if not Path(agents).is_dir():
        return []
    try:
        sources = load_folder(agents).sources.values()
    except FastdataError as error:
        _warn(f"{error}; lines are sent without a key, so repeats may lie in several partitions")
        return []
    readers = [source for source in sources if source.topic == topic]
    if not readers and not force:
        topics = sorted({source.topic for source in sources})
        advice = did_you_mean(topic, topics, f"the topics are: {', '.join(topics)}")
        raise click.UsageError(
            f"no source in {agents} reads {topic!r}; {advice}. --force sends there all the same"
        )
    if {source.format for source in readers} == {"avro"}:
        _warn(f"the source in {agents} reads Avro from {topic}: lines become dead letters")
    return readers


def _reader_of(readers: "list[Source]") -> "Source | None":
    """The source by which values are keyed and checked: one with an id, if there is one."""
    able = [source for source in readers if source.reader]
    return next(iter([source for source in able if source.id] or able), None)


def _open_rows(
    file: BinaryIO, path: Path | None, format: _Format | None, source: "Source | None"
) -> "_Rows | None":
    """The rows of a file, as values; None where it is of lines.

    Raises:
        UsageError: Nothing says which types the rows have.
    """
    from fastdata.files.opening import format_of, open_events
    from fastdata.files.rows import dump_object
    from fastdata.files.values import values_of_texts

    is_json = source is not None and source.format == "json"
    if format is None and path is not None and path.stat().st_size:
        is_csv = is_json and path.suffix.lower() in (".csv", ".tsv")
        head = format_of(file)
        format = head if head in ("avro", "parquet") else "csv" if is_csv else "lines"
    if format is None or format == "lines":
        return None
    if source is None or not is_json:
        raise click.UsageError(
            "rows are sent as JSON, typed by the schema of a source of that topic with "
            'format="json", and there is none; `fastdata init --from FILE` writes one'
        )
    opened = open_events(file, format)
    convert = values_of_texts(source.schema) if opened.format == "csv" else dump_object
    return opened.rows(), convert


async def _send_rows(stack: ExitStack, sender: "LineSender", rows: "_Rows") -> tuple[int, str]:
    """Send all rows that can be read; return how many cannot, and what is wrong with the first."""
    show = _open_bar(stack, sender, "rows")
    stream, convert = rows
    unread, first = 0, ""
    while batch := await asyncio.to_thread(lambda: list(islice(stream, _BATCH_ROWS))):
        for row in batch:
            if row.fields is None:
                unread += 1
                first = first or f"line {row.number}: {row.problem}"
            else:
                await sender.send(convert(row.fields))
        show()
    return unread, first


def _warn(message: str) -> None:
    click.echo(f"warning: {message}", err=True)


async def _listen(sender: "LineSender", address: _Address) -> None:
    """Take connections until a signal comes; the first failure of the broker ends all."""
    from fastdata.kafka.lines import read_connection, send_lines

    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def end() -> None:
        if not ended.done():
            ended.set_result(None)

    on_signal(end)
    connections = set[asyncio.Task[None] | None]()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(asyncio.current_task())
        try:
            await send_lines(sender, read_connection(reader))
        except LineError as error:
            click.echo(f"fastdata: {error}; the connection is closed", err=True)
        except ConnectionResetError:
            pass  # whole lines that came before were sent
        except Exception as error:  # noqa: BLE001 - the task ends, and with it the command
            if not ended.done():
                ended.set_exception(error)
        finally:
            connections.discard(asyncio.current_task())
            writer.close()

    server = await asyncio.start_server(take, *address)
    host, port = server.sockets[0].getsockname()[:2]
    click.echo(f"listening on {host}:{port}", err=True)
    try:
        await ended
    finally:
        server.close()
        for task in filter(None, list(connections)):
            task.cancel()
