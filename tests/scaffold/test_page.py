"""Every command of docs/your_own_data.md, run as the page says."""

import asyncio
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from fastdata.demo.processes import Processes
from fastdata.local.broker import EmbeddedBroker
from tests.scaffold.made import write_orders

PAGE = (Path(__file__).parents[2] / "docs" / "your_own_data.md").read_text()
BLOCKS = re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
TYPED = [line[2:] for block in BLOCKS for line in block.splitlines() if line.startswith("$ ")]
FOLDED = 2_994  # of 3,000 orders 6 are in seconds

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]


def run(line: str, folder: Path) -> str:
    program, *words = shlex.split(line)
    assert program == "fastdata"
    done = subprocess.run(
        [sys.executable, "-m", "fastdata", *words],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


async def folded(folder: Path, processes: Processes) -> None:
    """Wait until the worker has folded all orders."""
    for _ in range(600):
        processes.check()
        line = "fastdata query orders_total --every all --json"
        try:
            rows = json.loads(await asyncio.to_thread(run, line, folder))["rows"]
        except AssertionError:  # the worker has not made the store yet
            rows = []
        if rows and rows[0]["events"] == FOLDED:
            return
        await asyncio.sleep(0.2)
    pytest.fail("the worker did not fold all orders")


async def test_each_command_does_what_the_page_says(tmp_path: Path) -> None:
    write_orders(tmp_path / "orders.jsonl")
    folder, told = tmp_path, {}
    with EmbeddedBroker() as broker:
        async with Processes(tmp_path / "shop") as processes:
            for line in TYPED:
                match line.split()[:2]:
                    case ["cd", name]:
                        folder = tmp_path / name
                        settings = (folder / "fastdata.toml").read_text()
                        (folder / "fastdata.toml").write_text(
                            f'broker = "{broker.address}"\n{settings}'
                        )
                        (folder / "logs").mkdir()
                    case ["fastdata", "topics"]:
                        broker.create("orders")  # it has no admin API
                    case ["fastdata", "worker"]:
                        processes.start("worker")
                    case _:
                        told[line] = await asyncio.to_thread(run, line, folder)
                        if line.startswith("fastdata send"):
                            await folded(folder, processes)
            await processes.stop()

    (shown,) = (block for block in BLOCKS if "--dry-run" in block)
    dry, written, send, fresh, _, _, total, status, _ = told.values()
    assert dry.startswith(shown.partition("\n")[2])
    assert written.count("written   shop/") == 3
    assert send.startswith("3033 lines are in orders\nwarning: 9 of them will be dead letters; ")
    assert [number for number in ("988", "998", "10") if number not in fresh] == []
    assert "2,994" in total
    assert "dead letters, " in status
