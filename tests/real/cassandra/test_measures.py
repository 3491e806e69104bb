"""Every measure on Cassandra: folded, replayed, asked for, verified and exported."""

import asyncio
import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
from cassandra.cluster import Session
from click.testing import CliRunner
from pyarrow import parquet

from fastdata.answer.query import query
from fastdata.cli.main import commands
from fastdata.declare.metric import Metric
from fastdata.errors import CorruptStateError
from fastdata.store.memory import MemoryStore
from fastdata.store.opening import open_store
from fastdata.verify.reports import UNEXPLAINED
from tests.support.services.cassandra import Cassandra
from tests.verify.clicks import MINUTE, START, Clicks

EVERY = """
from fastdata import (
    First, Frequency, Histogram, Last, Min, Quantiles, Rate, Ratio, Seen, Sets, StdDev, TopK,
    Variance,
)

every = Metric("every", clicks, by=["place"], measures={
    "clicks": Count(), "known": Count("user"), "amount": Sum("amount"), "seconds": Sum("seconds"),
    "mean": Mean("amount"), "variance": Variance("seconds"), "spread": StdDev("amount"),
    "least": Min("amount"), "largest": Max("seconds"), "first": First("user"),
    "last": Last("amount"), "bins": Histogram("amount", edges=[100, 200]),
    "users": Uniques("user"), "top": TopK("user", k=3), "spent": TopK("user", weight="amount", k=3),
    "shares": Quantiles("seconds", at=(0.5, 0.99)), "often": Frequency("user"),
    "met": Seen("user", capacity=1000), "names": Sets("user"),
    "each": Ratio("amount", "clicks"), "per_second": Rate("clicks"),
})
"""
SEGMENT, STAMP = 3_000, 8
KEY_OF = """SELECT column_name FROM system_schema.columns
    WHERE keyspace_name = %s AND table_name = %s AND kind IN ('partition_key', 'clustering')
    ALLOW FILTERING"""
INSTANTS = ("window_start", "window_end", "fresh_until", "read_until")
LISTS = ("top", "spent", "bins", "shares")
NUMBERS = (
    "place", "clicks", "amount", "mean", "variance", "first", "last", "users", "users_lower",
    "often", "met", "names", "each", "per_second",
)  # fmt: skip


@dataclass
class World:
    """A folder whose store is a keyspace, and what is sent to it."""

    url: str
    clicks: Clicks

    def send(self) -> None:
        """Clicks of an hour, half of them in one minute, where sketches are no longer exact."""
        rng = Random(self.clicks.sent)
        for n in range(SEGMENT):
            self.clicks.send(
                rng.choice([0.5, 0.5, 1.5, n / 60]),
                place=rng.choice(["Oslo"] * 8 + ["Rome", None]),
                user=7 if n % 10 == 0 else None if n % 99 == 98 else 1_000 + n,
                seconds=rng.random(),
                amount=rng.randrange(300),
            )

    def fold(self) -> None:
        """Fold what was sent with a new worker, and archive it in whole segments."""
        asyncio.run(self._fold())

    async def _fold(self) -> None:
        loop = self.clicks.loop
        loop.log.fill(SEGMENT)
        async with open_store(self.url) as store:
            await loop.start(store)
            await loop.drain()
        await loop.archive()

    def run(self, *words: str, code: int = 0) -> Any:
        """What a command printed, as JSON."""
        done = CliRunner().invoke(commands, [*words, "--json"], catch_exceptions=False)
        assert code == done.exit_code, done.output
        return json.loads(done.stdout)

    def rows(self, *words: str) -> list[dict[str, Any]]:
        """The rows of `fastdata query`, by hour and place."""
        asked = self.run("query", "every", "--by", "place", "--every", "1h", *words)
        rows: list[dict[str, Any]] = asked["rows"]
        return rows


@pytest.fixture
def world(
    cassandra: Cassandra, keyspace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> World:
    (tmp_path / "clicks").mkdir()
    url = cassandra.url(keyspace)
    monkeypatch.setenv("FASTDATA_STORE", url)
    world = World(url, Clicks(tmp_path / "clicks", MemoryStore(), EVERY, None, SEGMENT))
    monkeypatch.chdir(tmp_path / "clicks")
    world.send()
    world.fold()
    return world


def is_of(metric: Metric, blob: bytes) -> bool:
    """Whether the states are of that metric."""
    try:
        metric.load(blob)
    except CorruptStateError:
        return False
    return True


def in_memory(world: World) -> list[dict[str, Any]]:
    """The same rows of the same log, from the store of reference."""

    async def work() -> list[dict[str, Any]]:
        loop = world.clicks.loop
        loop.committed.clear()
        async with MemoryStore() as store:
            await loop.start(store, wipe=True)
            await loop.drain()
            await loop.replay()
            table = await query(loop.metrics[1], every="1h", by="place", store=store)
        return list(table.to_pylist())

    return asyncio.run(work())


def plain(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Without instants, which are written in several ways."""
    return [
        repr({k: v for k, v in row.items() if not isinstance(v, datetime) and k not in INSTANTS})
        for row in rows
    ]


def test_what_is_replayed_is_what_another_store_answers_and_verified(world: World) -> None:
    fresh = world.rows()
    world.run("replay", "--workers", "0")
    exact = world.rows()

    assert [None, "Oslo", "Rome"] == [row["place"] for row in exact]
    for before, after in zip(fresh, exact, strict=True):
        for name in ("clicks", "amount", "variance", "first", "last", "bins", "least", "largest"):
            assert before[name] == after[name]
        assert before["users_lower"] <= after["users"] <= before["users_upper"]
    assert not any(row["exact"] for row in fresh)
    assert fresh[1]["shares_lower"] != fresh[1]["shares_upper"]
    assert plain(in_memory(world)) == plain(exact)

    of_user = world.rows("--item", "often=7", "--item", "met=7")
    assert SEGMENT // 10 == sum(row["often"] for row in of_user)
    assert [True] * 3 == [row["met"] for row in of_user]

    report = world.run("verify", "--store-result")
    (every,) = [metric for metric in report["metrics"] if metric["metric"] == "every"]
    assert (0, SEGMENT, 0) == (report["exit_code"], every["new"], every["unexplained"])
    assert {"clicks", "often", "met", "shares", "top"} <= every["errors"].keys()
    errors = world.run("query", "every:error", "--every", "all", "--by", "measure")["rows"]
    assert {"clicks", "met", "users"} <= {row["measure"] for row in errors}


def test_a_late_click_is_the_cause_of_a_difference(world: World) -> None:
    world.run("replay", "--workers", "0")
    world.clicks.send(5 * 60)
    world.clicks.send(12, user=7)
    world.fold()
    world.run("replay", "--workers", "0")

    report = world.run("verify")

    (every,) = [metric for metric in report["metrics"] if metric["metric"] == "every"]
    assert (0, {"late": 1}) == (report["exit_code"], every["causes"])
    of_user = world.rows("--item", "often=7", "--to", "2023-11-15T00:00")
    assert SEGMENT // 10 + 1 == sum(row["often"] for row in of_user)


@pytest.mark.parametrize("layer", ["batch", "speed"])
def test_a_state_that_was_altered_is_named(
    world: World, plain: Session, keyspace: str, layer: str
) -> None:
    world.run("replay", "--workers", "0")
    table, cell, head = ("totals", "state", 0) if layer == "batch" else ("partials", "cell", STAMP)
    key = [row.column_name for row in plain.execute(KEY_OF, (keyspace, table))]
    where = " AND ".join(f"{name} = %s" for name in key)
    metric = world.clicks.declared[1]
    for row in plain.execute(f"SELECT * FROM {keyspace}.{table}"):
        stored = getattr(row, cell)
        if (row.window, row.dims) == (START + MINUTE, '["Rome"]') and is_of(metric, stored[head:]):
            states = metric.load(stored[head:])
            click = {"place": "Rome", "user": 7, "amount": 1, "seconds": 0.5}
            metric.add(states, click, START + MINUTE)
            values = stored[:head] + metric.dump(states), *(getattr(row, name) for name in key)
            plain.execute(f"UPDATE {keyspace}.{table} SET {cell} = %s WHERE {where}", values)

    report = world.run("verify", code=UNEXPLAINED)

    (every,) = [metric for metric in report["metrics"] if metric["metric"] == "every"]
    found = [f for f in every["findings"] if f["layer"] == layer]
    assert {"clicks", "amount", "often", "top"} <= {f["measure"] for f in found}
    assert all('["Rome"]' in f["place"] for f in found)


def test_tables_are_exported_from_cassandra(world: World) -> None:
    world.run("replay", "--workers", "0")
    # The hours of a day, or the day.
    targets = {"sqlite:///flat.db": 24, "parquet": 1}
    exported = ("export", "every", "--every", "1h", "--by", "place", "--bounds", "--to")
    for target, parts in targets.items():
        assert [parts, 0] == [world.run(*exported, target)["refreshed"] for _ in range(2)]
    compare_tables(world)

    world.clicks.send(70, place="Rome", user=7)
    world.fold()
    for target in targets:
        assert world.run(*exported, target)["rows"] > 0
    compare_tables(world)
    world.run("replay", "--workers", "0")
    for target in targets:
        assert world.run(*exported, target)["rows"] > 0
    compare_tables(world)


def compare_tables(world: World) -> None:
    """Both tables have the rows of the answer."""
    rows = world.rows()
    assert 0 < len(rows)
    with closing(sqlite3.connect("flat.db")) as database:
        database.row_factory = sqlite3.Row
        found = database.execute('SELECT * FROM every_1h ORDER BY "window_start", place').fetchall()
    flat = [dict(row) for row in found]
    files = (
        parquet.read_table("parquet/every_1h").sort_by([("window_start", "ascending")]).to_pylist()
    )
    files.sort(key=lambda row: (row["window_start"], row["place"] is not None, row["place"]))
    assert len(rows) == len(flat) == len(files)
    for row, one, other in zip(rows, flat, files, strict=True):
        for name in NUMBERS:
            assert row[name] == one[name] == other[name]
        assert [row["exact"]] * 2 == [bool(one["exact"]), other["exact"]]
        for name in LISTS:
            assert row[name] == json.loads(one[name]) == other[name]
