"""The processes of a demo are watched, and none is left behind."""

import asyncio
from pathlib import Path

import psutil
import pytest

from fastdata.demo.folder import write_folder
from fastdata.demo.processes import Processes
from fastdata.errors import FastdataError
from fastdata.kafka.connection import Broker
from fastdata.local.broker import EmbeddedBroker


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_folder(tmp_path / "demo", Broker("127.0.0.1:1"))
    return tmp_path / "demo"


async def test_the_output_of_a_command_is_returned_when_it_ends(folder: Path) -> None:
    async with Processes(folder) as processes:
        processes.start("query", "--help")
        assert "Usage: fastdata query" in await processes.finish("query")


async def test_a_command_that_fails_is_named_with_the_end_of_its_log(folder: Path) -> None:
    async with Processes(folder) as processes:
        processes.start("archive")
        with pytest.raises(FastdataError, match=r"`fastdata archive` ended with code 1") as caught:
            await processes.finish("archive")
    assert "127.0.0.1:1" in str(caught.value)
    assert str(folder / "logs" / "archive.log") in str(caught.value)


async def test_a_command_that_dies_is_noticed_while_another_is_waited_for(folder: Path) -> None:
    before = set(psutil.Process().children())
    async with Processes(folder) as processes:
        processes.start("archive")
        (child,) = set(psutil.Process().children()) - before
        for _ in range(2_000):
            if child.status() == psutil.STATUS_ZOMBIE:
                break
            await asyncio.sleep(0.05)
        processes.start("query", "--help")
        with pytest.raises(FastdataError, match=r"`fastdata archive` ended with code 1"):
            await processes.finish("query")


async def test_leaving_stops_what_still_runs(tmp_path: Path) -> None:
    with EmbeddedBroker() as broker:
        write_folder(tmp_path / "demo", Broker(broker.address))
        broker.create("flights")
        before = set(psutil.Process().children())
        async with Processes(tmp_path / "demo") as processes:
            processes.start("archive")
            (child,) = set(psutil.Process().children()) - before
            processes.check()
            assert list(processes.peak_mib()) == ["archive"]
    assert not child.is_running()
