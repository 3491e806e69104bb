"""A word count over the network: lines by TCP into Kafka, words out of the serving store."""

import asyncio
import json
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import pytest
from click.testing import CliRunner

from fastdata.cli.main import commands
from fastdata.demo.processes import Processes
from fastdata.errors import StoreUnavailableError
from fastdata.local.broker import EmbeddedBroker

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "LICENSE").read_bytes()


def write_folder(folder: Path, broker: EmbeddedBroker) -> None:
    for name in ("agents/word_count.py", "schemas/line.avsc"):
        (folder / name).parent.mkdir()
        shutil.copy(ROOT / name, folder / name)
    (folder / "logs").mkdir()
    settings = {"broker": broker.address, "store": "sqlite:///words.db", "state": "state"}
    lines = (f'{name} = "{value}"\n' for name, value in settings.items())
    (folder / "fastdata.toml").write_text("".join(lines))


def counted(folder: Path) -> Counter[str]:
    words = ["query", "words", "--every", "all", "--by", "word", "--format", "json"]
    with chdir(folder):
        try:
            found = CliRunner().invoke(commands, words, catch_exceptions=False)
        except StoreUnavailableError:  # the worker has not made it yet
            return Counter()
    assert found.exit_code == 0, found.output
    return Counter({row["word"]: row["count"] for row in json.loads(found.stdout)["rows"]})


async def until(is_true: Callable[[], bool], processes: Processes) -> None:
    for _ in range(1_200):
        processes.check()
        if await asyncio.to_thread(is_true):
            return
        await asyncio.sleep(0.1)


@pytest.mark.processes
async def test_lines_that_are_written_into_a_connection_are_counted(tmp_path: Path) -> None:
    expected = Counter(TEXT.decode().lower().split())
    with EmbeddedBroker() as broker:
        broker.create("lines")
        write_folder(tmp_path, broker)
        async with Processes(tmp_path) as processes:
            processes.start("worker")
            processes.start("send", "lines", "--listen", "127.0.0.1:0")
            log = tmp_path / "logs" / "send.log"
            await until(lambda: "listening on" in log.read_text(), processes)
            host, _, port = log.read_text().split()[-1].rpartition(":")
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(TEXT)
            writer.close()
            await writer.wait_closed()
            await until(lambda: counted(tmp_path) == expected, processes)
            assert await asyncio.to_thread(counted, tmp_path) == expected
            await processes.stop()
