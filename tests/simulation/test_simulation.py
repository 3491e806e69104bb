"""Random schedules of both layers, over the memory store and over SQLite.

In two of three, events are sent again. The same 200 each time; each night FASTDATA_TEST_SEEDS new
ones (2,000). Every eighth runs on SQLite as well, where one takes ten times as long.
FASTDATA_TEST_SEED runs a single one again.
"""

import asyncio
import os
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from random import SystemRandom

import pytest

from fastdata.store.memory import MemoryStore
from fastdata.store.opening import open_store
from fastdata.store.protocol import ServingStore
from fastdata.store.sql import statements
from tests.simulation.fakes import ViolationError
from tests.simulation.system import System
from tests.support.rules import RULES, rules_in, without

KNOWN_SEEDS = 200
NEW_SEEDS = int(os.environ.get("FASTDATA_TEST_SEEDS", "2000"))
ONE = os.environ.get("FASTDATA_TEST_SEED")
SHARES = 16  # of the new ones, so that two processes have enough to share
STEPS = 250
FIRST_SEEDS = {
    "gap to the largest stamp": 1_000,
    "skip to an edge": 200,
    "monotone state": 150,
    "clean one behind": 16,
}
"""Where to begin without a rule that few schedules need."""


def run(seed: int, folder: Path, store: str) -> int:
    """Run one schedule; how many totals fewer it read by the hour."""

    async def schedule() -> int:
        async with AsyncExitStack() as stack:

            async def open_new() -> ServingStore:
                """A store that has nothing."""
                if store == "memory":
                    return MemoryStore()
                file = Path(tempfile.mkdtemp(dir=folder)) / "store.db"
                return await stack.enter_async_context(open_store(f"sqlite:///{file}"))

            system = System(seed, open_new, folder)
            await system.run(STEPS)
            return system.reader.hours

    try:
        return asyncio.run(schedule())
    except Exception as error:
        error.add_note(f"run it again with FASTDATA_TEST_SEED={seed} and the store {store!r}")
        raise


def run_all(seeds: Sequence[int], folder: Path, store: str) -> None:
    chosen = seeds if store == "memory" else seeds[::8]
    fewer = sum([run(seed, folder, store) for seed in chosen])
    assert fewer > len(chosen) or ONE is not None


@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_every_schedule_keeps_the_promises(tmp_path: Path, store: str) -> None:
    run_all(range(KNOWN_SEEDS) if ONE is None else [int(ONE)], tmp_path, store)


@pytest.mark.nightly
@pytest.mark.timeout(0)
@pytest.mark.parametrize("store", ["memory", "sqlite"])
@pytest.mark.parametrize("share", range(SHARES))
def test_new_schedules_keep_the_promises(tmp_path: Path, store: str, share: int) -> None:
    first = SystemRandom().randrange(1 << 60)
    print(f"{NEW_SEEDS // SHARES:,} schedules from seed {first} on")  # noqa: T201
    run_all(range(first, first + NEW_SEEDS // SHARES), tmp_path, store)


@pytest.mark.parametrize(
    ("rule", "store"),
    [*((rule, "memory") for rule in RULES), *((rule, "sqlite") for rule in rules_in(statements))],
)
def test_taking_a_rule_away_is_noticed(tmp_path: Path, rule: str, store: str) -> None:
    first = FIRST_SEEDS.get(rule, 0)
    with without(rule):
        for seed in range(first, first + 20_000):
            try:
                run(seed, tmp_path, store)
            except ViolationError:
                return
    pytest.fail(f"20,000 schedules did not notice that {rule!r} was gone")
