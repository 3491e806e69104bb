"""From three files to a project that counts them: both layers, and pyarrow, find the same."""

import asyncio
import json
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import compute, csv, parquet

from fastdata.cli.main import commands
from fastdata.demo.processes import Processes
from fastdata.errors import StoreUnavailableError
from fastdata.local.broker import EmbeddedBroker
from tests.scaffold.made import write_clicks, write_orders, write_readings

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]

FILES = {
    "orders.jsonl": write_orders,
    "readings.csv": write_readings,
    "clicks.parquet": write_clicks,
}
BROKEN = (
    "warning: 9 of them will be dead letters; the first is line 8: malformed (it is no JSON: "
    "JSONDecodeError: Unterminated string starting at: line 1 column 14 (char 13))\n"
)
SHORT = (
    "warning: 3 rows cannot be read and were not sent; line 7: it has 2 cells, and the header has "
    "6\n"
)
Rows = dict[object, tuple[object, ...]]


def invoke(folder: Path, *words: str) -> str:
    with chdir(folder):
        done = CliRunner().invoke(commands, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def answer(folder: Path, metric: str, by: str, *measures: str) -> tuple[Rows, bool]:
    """The measures by the values of a dimension, and whether all are exact."""
    words = ["query", metric, "--every", "all", "--by", by, "--format", "json"]
    try:
        rows = json.loads(invoke(folder, *words))["rows"]
    except StoreUnavailableError:  # the worker has not made it yet
        return {}, False
    found = {row[by]: tuple(_number(row[measure]) for measure in measures) for row in rows}
    return found, all(row["exact"] for row in rows)


def _number(value: Any) -> object:
    return round(float(value), 6)


def grouped(table: pa.Table, by: str, *sums: tuple[str, str]) -> Rows:
    """The same by pyarrow."""
    counted = table.group_by(by).aggregate([([], "count_all"), *sums])
    columns = [f"{name}_{function}" for name, function in sums]
    return {
        row[by]: tuple(_number(row[name]) for name in ["count_all", *columns])
        for row in counted.to_pylist()
    }


def orders(folder: Path) -> Rows:
    lines = {
        line for line in (folder / "orders.jsonl").read_text().splitlines() if line.endswith("}")
    }
    events = [json.loads(line) for line in lines]
    table = pa.Table.from_pylist(
        [
            {
                "country": event.get("customer", {}).get("country"),
                "at": event["ordered_at"],
                "amount": event["amount"],
                "quantity": event["quantity"],
            }
            for event in events
        ]
    )
    timely = table.filter(compute.greater(table["at"], 10**12))
    return grouped(timely, "country", ("amount", "sum"), ("quantity", "sum"))


def readings(folder: Path) -> Rows:
    table = csv.read_csv(
        folder / "readings.csv",
        parse_options=csv.ParseOptions(delimiter=";", invalid_row_handler=lambda _: "skip"),
    )
    return grouped(table, "sensor", ("temp (C)", "mean"), ("humidity", "mean"))


def clicks(folder: Path) -> Rows:
    table = parquet.read_table(folder / "clicks.parquet", columns=["page", "load_ms"])
    timed = compute.if_else(compute.is_nan(table["load_ms"]), None, table["load_ms"])
    table = pa.table({"page": table["page"].cast(pa.string()), "load_ms": timed})
    return grouped(table, "page", ("load_ms", "mean"))


ASKED: dict[str, tuple[Callable[[Path], Rows], tuple[str, ...]]] = {
    "orders_by_customer_country": (
        orders, ("customer_country", "events", "amount_sum", "quantity_sum")
    ),
    "readings_by_sensor": (readings, ("sensor", "events", "temp_c_mean", "humidity_mean")),
    "clicks_by_page": (clicks, ("page", "events", "load_ms_mean")),
}  # fmt: skip


async def until(is_true: Callable[[], bool], processes: Processes) -> None:
    for _ in range(900):
        processes.check()
        if await asyncio.to_thread(is_true):
            return
        await asyncio.sleep(0.2)


def answers(folder: Path) -> dict[str, tuple[Rows, bool]]:
    return {name: answer(folder, name, *asked) for name, (_, asked) in ASKED.items()}


async def test_both_layers_count_what_pyarrow_counts(tmp_path: Path) -> None:
    said = []
    with EmbeddedBroker() as broker:
        for name, write in FILES.items():
            write(tmp_path / name)
            invoke(tmp_path, "init", "--from", name)
            broker.create(name.partition(".")[0])
        settings = (tmp_path / "fastdata.toml").read_text()
        settings = f'broker = "{broker.address}"\n{settings}'
        (tmp_path / "fastdata.toml").write_text(settings)
        (tmp_path / "logs").mkdir()
        expected = {name: count(tmp_path) for name, (count, _) in ASKED.items()}
        async with Processes(tmp_path) as processes:
            processes.start("worker")
            for name in FILES:
                processes.start("send", name.partition(".")[0], "--from-file", name)
                await processes.finish("send")
                said.append((tmp_path / "logs" / "send.log").read_text())

            def is_counted() -> bool:
                found = answers(tmp_path)
                return {name: rows for name, (rows, _) in found.items()} == expected

            await until(is_counted, processes)
            fresh = await asyncio.to_thread(answers, tmp_path)
            assert {name: rows for name, (rows, _) in fresh.items()} == expected

            processes.start("archive", "--once")
            await processes.finish("archive")
            processes.start("replay", "--from", "2025-01-01", "--to", "2026-01-01")
            await processes.finish("replay")
            replayed = await asyncio.to_thread(answers, tmp_path)
            assert replayed == {name: (rows, True) for name, rows in expected.items()}
            await processes.stop()

    assert said == [
        "3033 lines are in orders\n" + BROKEN,
        "2000 lines are in readings\n" + SHORT,
        "4000 lines are in clicks\n",
    ]
