"""Random schedules of both layers, over the memory store and over SQLite.

FASTDATA_TEST_SEEDS sets how many run (2,000; every eighth of them on SQLite as well, where one
takes ten times as long), FASTDATA_TEST_SEED runs a single one again.
"""

import asyncio
import os
from pathlib import Path

import pytest

from fastdata.store.memory import MemoryStore
from fastdata.store.opening import open_store
from fastdata.store.sql import statements
from tests.simulation.fakes import ViolationError
from tests.simulation.system import System
from tests.support.rules import RULES, rules_in, without

SEEDS = int(os.environ.get("FASTDATA_TEST_SEEDS", "2000"))
ONE = os.environ.get("FASTDATA_TEST_SEED")
SHARES = 4
STEPS = 250


def run(seed: int, folder: Path, store: str) -> None:
    async def schedule() -> None:
        async with (
            MemoryStore() if store == "memory" else open_store(f"sqlite:///{file}") as opened
        ):
            await System(seed, opened, folder).run(STEPS)

    file = folder / f"{seed}.db"
    try:
        asyncio.run(schedule())
        file.unlink(missing_ok=True)
    except Exception as error:
        error.add_note(f"run it again with FASTDATA_TEST_SEED={seed} and the store {store!r}")
        raise


@pytest.mark.parametrize("store", ["memory", "sqlite"])
@pytest.mark.parametrize("share", range(SHARES))
def test_every_schedule_keeps_the_promises(tmp_path: Path, store: str, share: int) -> None:
    step = SHARES * (1 if store == "memory" else 8)
    seeds = range(share, SEEDS, step) if ONE is None else [int(ONE)]
    for seed in seeds:
        run(seed, tmp_path, store)


@pytest.mark.parametrize(
    ("rule", "store"),
    [*((rule, "memory") for rule in RULES), *((rule, "sqlite") for rule in rules_in(statements))],
)
def test_taking_a_rule_away_is_noticed(tmp_path: Path, rule: str, store: str) -> None:
    with without(rule):
        for seed in range(20_000):
            try:
                run(seed, tmp_path, store)
            except ViolationError:
                return
    pytest.fail(f"20,000 schedules did not notice that {rule!r} was gone")
