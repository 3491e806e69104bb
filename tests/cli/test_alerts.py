"""`fastdata alerts`, and what `fastdata status` says of alerts, over a store in a file."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fastdata import load
from fastdata.cli.main import commands
from fastdata.coordinates.instants import MINUTE_MS, floor_to, now_ms
from fastdata.store.opening import open_store
from tests.alerts.shop import SCHEMA, Shop

AGENTS = """
from fastdata import Alert, Count, Metric, Source, Sum

source = Source("orders", topic="orders", schema="order.avsc", time="at")
orders = Metric("orders", source, by=["shop"],
                measures={"orders": Count(), "failed": Sum("failed")})
many = Alert("many [x]", orders, when="orders > 5", every="1m", for_="2m", by="shop")
"""


class Project:
    """A folder with agents and a store that has minutes which are over now."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "agents").mkdir()
        (folder / "agents" / "orders.py").write_text(AGENTS)
        (folder / "order.avsc").write_text(json.dumps(SCHEMA))
        (folder / "fastdata.toml").write_text('store = "sqlite:///store.db"\n')
        self.start = floor_to(now_ms(), MINUTE_MS) - 10 * MINUTE_MS

    def fill(self, orders: Sequence[int]) -> None:
        """Minutes of orders, the first of which began ten minutes ago."""
        asyncio.run(self._fill(orders))

    async def _fill(self, orders: Sequence[int]) -> None:
        module = load(self.folder / "agents" / "orders.py")
        async with open_store("sqlite:///store.db") as store:
            shop = Shop(module.orders, store, module.many)
            shop.now = self.start
            for number in orders:
                await shop.fold(number)
                await shop.pass_(1)
            (report,) = await store.progress("orders")
            fresh = replace(report, updated=now_ms(), read_until=shop.now + 15_000)
            await store.upsert([], [fresh])


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)


def run(*words: str) -> Result:
    return CliRunner().invoke(commands, list(words))


def documents(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_once_judges_what_is_over_prints_each_event_and_ends(project: Project) -> None:
    project.fill([9, 9])
    first = run("alerts", "--once", "--json")
    again = run("alerts", "--once", "--json")

    (event,) = documents(first)
    assert ("opened", {"shop": "north"}) == (event["event"], event["dimensions"])
    assert ([], 0, "") == (documents(again), first.exit_code + again.exit_code, first.stderr)


def test_what_opens_and_closes_is_told_in_lines(project: Project) -> None:
    project.fill([0, 9])
    run("alerts", "--once")
    project.start += 2 * MINUTE_MS
    project.fill([9, 1])

    shown = run("alerts", "--once")

    first, second = shown.stdout.splitlines()
    assert first.startswith("many [x], shop north: opened, ")
    assert first.endswith(" UTC (orders > 5; orders 9)")
    assert second.startswith("many [x], shop north: closed, ")


def test_status_says_what_is_open(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTDATA_BROKER", "127.0.0.1:1")
    project.fill([9, 9])
    run("alerts", "--once")

    shown = run("status")

    (line,) = [line for line in shown.stdout.splitlines() if line.startswith("alert ")]
    assert line.startswith("alert many [x]: open (north), judged until ")


def test_what_cannot_be_sent_is_said_and_once_fails(project: Project) -> None:
    agents = project.folder / "agents" / "orders.py"
    hook = 'by="shop", to="http://127.0.0.1:9/s3cret"'
    agents.write_text(AGENTS.replace('by="shop")', f"{hook})"))
    project.fill([9, 9])

    shown = run("alerts", "--once")

    assert 1 == shown.exit_code
    assert shown.stdout.count("opened") == 1
    assert shown.stderr.startswith("fastdata: 127.0.0.1 took no event of alert 'many [x]': ")
    assert "s3cret" not in shown.stderr


def test_without_a_declared_alert_it_says_so(project: Project) -> None:
    (project.folder / "agents" / "orders.py").write_text(AGENTS.rpartition("many =")[0])

    shown = run("alerts")

    assert 1 == shown.exit_code
    assert "no alert is declared in agents: see fastdata.Alert" in shown.stderr


def test_without_a_store_once_fails_and_says_what_to_do(project: Project) -> None:
    shown = run("alerts", "--once")

    assert "start a worker or a replay first" in str(shown.exception)


def test_it_runs_until_a_signal_comes_and_waits_for_a_store(project: Project) -> None:
    command = [sys.executable, "-m", "fastdata", "alerts", "--interval", "0.1", "--json"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("FASTDATA_")}
    with subprocess.Popen(
        command, cwd=project.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        assert process.stdout is not None
        said = process.stderr.readline()
        project.fill([9, 9])
        event = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=20)

    assert "start a worker or a replay first" in said
    assert said.endswith("; it is tried again\n")
    assert ("opened", 0) == (event["event"], process.returncode)
    assert set(rest.splitlines(keepends=True)) <= {said}  # until there was a store
