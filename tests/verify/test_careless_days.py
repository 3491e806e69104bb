"""Half a day of late, shuffled, repeated and early events, verified after each replay."""

from collections import Counter
from pathlib import Path

import pytest

from fastdata.store.memory import MemoryStore
from fastdata.store.protocol import ServingStore
from fastdata.verify.verify import verify
from tests.agreement.stages import Deployment
from tests.agreement.test_careless import Day, deploy
from tests.agreement.traffic import HOUR


class VerifiedDay(Day):
    """A day of which each replay is verified."""

    def __init__(self, seed: int, deployment: Deployment, store: ServingStore) -> None:
        super().__init__(seed, deployment, store)
        self.is_patient = False
        self.verified = 0
        self.causes = Counter[str]()

    async def replay(self) -> None:
        """Replay, and verify what it added; if patient, when the speed layer has caught up."""
        if self.is_patient:
            await self.loop.drain()
        await super().replay()
        report = await verify(self.loop.metrics, store=self.store, archive=self.loop.archived)
        (metric,) = report.metrics
        assert [] == [finding.as_dict() for finding in metric.findings]
        self.causes += metric.causes
        self.verified += sum(span.new for span in metric.spans)


@pytest.mark.parametrize("is_patient", [True, False])
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.nightly)])
async def test_every_difference_of_a_careless_day_has_its_cause(
    tmp_path: Path, seed: int, is_patient: bool
) -> None:
    async with MemoryStore() as store:
        day = VerifiedDay(seed, deploy(tmp_path, 100), store)
        day.is_patient = is_patient
        await day.run()
        await day.drain()
        await day.close_segments()

        readable = [one for one in day.auditor.records.values() if one.click is not None]
        fates = Counter(one.fate for one in readable)
        named = [
            (one.click["click"], one.at // HOUR)
            for one in readable
            if one.click and one.click["click"]
        ]
        assert len(readable) == day.verified
        if is_patient:
            assert {
                "late": fates["late"],
                "future": fates["future"],
                "duplicate": len(named) - len(set(named)) - fates["repeat"],
            } == +day.causes
        else:
            assert {"late", "future", "duplicate", "behind"} == set(+day.causes)
            assert fates["late"] + fates["future"] >= day.causes["late"] + day.causes["future"]
