"""A folder as a user of a metric of trips has it."""

import asyncio
import json
from pathlib import Path

import fastdata
from fastdata import Metric
from fastdata.coordinates.segments import Coverage
from fastdata.store.opening import open_store
from fastdata.store.protocol import Flip
from tests.answer.trips import DECLARATION, MINUTE, NOON, ONE, SCHEMA, TWO, partial, progress, total

__all__ = ["declare_folder", "make_folder"]


def make_folder(path: Path) -> Metric:
    """Agents, a schema, and a store with two hours; the working folder must be this one."""
    metric = declare_folder(path, DECLARATION)
    asyncio.run(_fill(metric))
    return metric


def declare_folder(path: Path, declaration: str) -> Metric:
    """Agents, a schema, and no store yet; the metric `rides`. The working folder is this one."""
    (path / "agents").mkdir()
    (path / "agents" / "trips.py").write_text(declaration)
    (path / "trip.avsc").write_text(json.dumps(SCHEMA))
    (path / "fastdata.toml").write_text('store = "sqlite:///store.db"\n')
    metric = fastdata.load("agents/trips.py").rides
    assert isinstance(metric, Metric)
    return metric


async def _fill(metric: Metric) -> None:
    async with open_store("sqlite:///store.db") as store:
        oslo = total(metric, NOON, ["Oslo", 1], [(5, "anna"), (1_207, "ben")])
        [nowhere] = [total(metric, ONE + MINUTE, [None, 2], [(None, None)])]
        await store.write_totals(metric.id, 1, {NOON: [oslo], ONE: [nowhere]})
        flips = [Flip(span, None, 1, Coverage({0: 3}), 1) for span in (NOON, ONE)]
        await store.publish(metric.id, flips)
        await store.upsert([partial(metric, ONE, ["", 1], [(2, "anna")])], [progress(TWO)])
