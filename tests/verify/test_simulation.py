"""Random schedules of crashes, old owners, lost state, skips and undone replays, verified."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from fastdata.store.memory import MemoryStore
from fastdata.verify.reports import VerifiedMetric
from fastdata.verify.verify import verify
from tests.simulation.fakes import ViolationError
from tests.simulation.system import STEPS, System
from tests.support.rules import without

SCHEDULES = 60


class VerifiedSystem(System):
    """A system that is verified after each replay."""

    def __init__(self, *given: object) -> None:
        super().__init__(*given)  # type: ignore[arg-type]
        self.reports: list[VerifiedMetric] = []

    async def replay(self, first: int, end: int, *, resume: bool = False) -> None:
        await super().replay(first, end, resume=resume)
        report = await verify([self.metric], store=self.store, archive=self.storage)
        self.reports += report.metrics

    async def query(self) -> None:
        """Leave the promises to the simulation's own tests."""


def run(seed: int, folder: Path) -> list[VerifiedMetric]:
    async def schedule() -> list[VerifiedMetric]:
        system = VerifiedSystem(seed, open_new, folder)
        system.store = await open_new()
        await system.start_worker()
        steps, weights = zip(*STEPS.items(), strict=True)
        for name in system.rng.choices(steps, weights, k=250):
            await getattr(system, name)()
        await system.replay(0, 3)
        return system.reports

    async def open_new() -> MemoryStore:
        return MemoryStore()

    return asyncio.run(schedule())


def test_no_schedule_leaves_anything_unexplained(tmp_path: Path) -> None:
    compared, causes = 0, Counter[str]()
    for seed in range(SCHEDULES):
        for report in run(seed, tmp_path):
            assert [] == [finding.as_dict() for finding in report.findings], f"seed {seed}"
            compared += sum(s.new for s in report.spans if s.speed == "compared")
            causes += report.causes
    assert compared >= 1_000
    assert {"gap", "behind"} <= set(causes)


@pytest.mark.parametrize(
    "rule",
    ["larger stamp", "re-emit", "marker", "record the gap", "drop by own span"],
)
def test_a_rule_that_is_taken_away_leaves_events_unexplained(tmp_path: Path, rule: str) -> None:
    with without(rule):
        for seed in range(2_000):
            try:
                if any(report.findings for report in run(seed, tmp_path)):
                    return
            except ViolationError:
                continue
    pytest.fail(f"2,000 schedules did not notice that {rule!r} was gone")
