"""What it costs to start each command: CPU of `--help`, and of a query by a process of its own.

A bare Python stands beside them. The query reads an hour by minute from an SQLite store that holds
thirty days, as benchmarks/query.py fills it; a program that is running does not pay this again.
"""

import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks import query
from benchmarks.loads import ROOT
from benchmarks.processes import FailedError, finished
from benchmarks.worker import FASTDATA, worker_environment
from fastdata.cli.main import commands
from fastdata.declare.catalog import load_folder
from fastdata.store.opening import open_store

DECLARED = """
from fastdata import Count, Metric, Source, Sum

flights = Source("flights", topic="flights", schema="schemas/flight.avsc",
                 time="scheduled_departure", id="flight_id")
counts = Metric("counts", flights, measures={"flights": Count(), "distance": Sum("distance")})
"""
HOUR = ("--from", "2013-01-30T23:00", "--to", "2013-01-31", "--every", "1m")


async def fill(folder: Path) -> dict[str, str]:
    """A store of thirty days, and the settings that name it."""
    for part in ("agents", "schemas"):
        (folder / part).mkdir()
    (folder / "agents/counts.py").write_text(DECLARED)
    schema = (ROOT / "schemas/flight.avsc").read_text()
    (folder / "schemas/flight.avsc").write_text(schema)
    environment = worker_environment({"bootstrap.servers": "localhost:1"}, folder, "start")
    async with open_store(environment["FASTDATA_STORE"]) as store:
        await query.fill(store, load_folder(folder / "agents").metric("counts"), 0)
    return environment


async def measure(folder: Path, rounds: int) -> list[dict[str, Any]]:
    """One row for each command."""
    environment = await fill(folder)
    names = commands.list_commands(click.Context(commands))
    asked: dict[str, Sequence[str]] = {"python -c pass": (sys.executable, "-c", "pass")}
    asked |= {f"fastdata {name} --help": (*FASTDATA, name, "--help") for name in names}
    asked["fastdata query, an hour"] = (*FASTDATA, "query", "counts", *HOUR)
    rows = []
    for name, words in asked.items():
        finished(words, folder, environment)  # compiles what was never imported
        runs = [finished(words, folder, environment) for _ in range(rounds)]
        if "an hour" in name and "2013-01-30" not in runs[0].said:
            raise FailedError(f"the query answered nothing: {runs[0].said}")
        rows.append({
            "command": name,
            "ms_cpu": round(1_000 * statistics.median(run.cpu_s for run in runs)),
            "ms_wall": round(1_000 * statistics.median(run.wall_s for run in runs)),
        })  # fmt: skip
    return rows
