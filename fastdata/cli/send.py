"""`fastdata send`."""

import asyncio
import os
import stat
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fastdata.cli.signals import on_signal
from fastdata.errors import FastdataError, LineError, did_you_mean

if TYPE_CHECKING:
    from fastdata.declare.source import Source
    from fastdata.kafka.lines import LineSender

__all__ = ["send"]

_Address = tuple[str, int]


@click.command(short_help="Send lines of a file, a pipe or TCP connections to a topic.")
@click.argument("topic")
@click.option(
    "--from-file",
    type=click.Path(path_type=Path),
    help="Send the lines of a file, then end. [default: standard input]",
)
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help="Take TCP connections and send each of their lines, until Ctrl-C.",
)
@click.option("--force", is_flag=True, help="Also to a topic that no source in the agents reads.")
def send(topic: str, from_file: Path | None, listen: str | None, *, force: bool) -> None:
    """Send lines of a file, a pipe or TCP connections to a topic of FASTDATA_BROKER.

    A line is one value, for a source with format="text" or format="json". Where the agents declare
    that source with an id, a line has its id for a key, so that repeats meet in one partition;
    others go to any. At least once: what is acknowledged is in Kafka, and after a failure the rest
    must be sent again. When Kafka is slow, nothing more is read, so who writes has to wait. SIGTERM
    and Ctrl-C end a pipe, or --listen, when the whole lines that were read are there. Whoever can
    connect to --listen can write: keep it on the loopback.

    \b
    Examples:
      fastdata send access_log --from-file /var/log/apache2/access.log
      tail -F access.log | fastdata send access_log
      fastdata send lines --listen 127.0.0.1:9999
    """  # noqa: D301  (click wants the backspace)
    if from_file is not None and listen is not None:
        raise click.UsageError("give --from-file or --listen, not both")
    address = None if listen is None else _address(listen)
    asyncio.run(_send(topic, from_file, address, force))


def _address(text: str) -> _Address:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise click.UsageError(f"--listen is {text!r}; give it as in 127.0.0.1:9999")
    return host.strip("[]"), int(port)


async def _send(topic: str, from_file: Path | None, address: _Address | None, force: bool) -> None:
    from fastdata.kafka.connection import Broker
    from fastdata.kafka.lines import LineSender, read_descriptor, send_lines
    from fastdata.settings import Settings

    settings = Settings.load()
    key_of = _key_of(_readers(topic, settings.agents, force))
    async with LineSender(Broker.of(settings), topic, key_of) as sender:
        if address is not None:
            await _listen(sender, address)
        elif from_file is None:
            stop = _stop_of_pipe(sys.stdin.fileno())
            await send_lines(sender, read_descriptor(sys.stdin.fileno(), stop), stop)
        else:
            with from_file.open("rb") as file:
                await send_lines(sender, read_descriptor(file.fileno()))
    click.echo(f"{sender.acknowledged} lines are in {topic}", err=True)


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


def _key_of(readers: "Iterable[Source]") -> Callable[[bytes], bytes | None]:
    identified = [source for source in readers if source.id and source.reader]
    return identified[0].key_of if identified else lambda _: None


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
