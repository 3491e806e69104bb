"""Late, shuffled, repeated, early and broken events on the full set, where everybody is killed."""

import time
from collections import Counter
from pathlib import Path
from typing import cast

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from fastdata.store.opening import open_store
from fastdata.store.protocol import ServingStore
from tests.agreement.auditing import Auditor
from tests.agreement.driver import Log
from tests.agreement.stages import Deploy
from tests.agreement.traffic import HOUR, PARTITIONS, Sent, Traffic
from tests.real.full.deploying import Processes, RealDeployment

DECLARED = Path(__file__).parents[2] / "agreement" / "declared"
CLICKS = 4_000
Round = tuple[str, str, list[str]]
# Where worker, archiver and replay are killed while they do their part of the day.
ROUNDS: list[Round] = [
    ("flush.after_table", "archive.after_object", ["batch.after_open_run", "store.after_totals"]),
    ("flush.after_store", "archive.after_manifest", ["batch.before_flip", "batch.after_flip"]),
    ("flush.after_commit", "archive.after_commit", ["batch.before_clean_up"]),
]


class Day:
    """Half a day of traffic: it comes, is folded, archived and replayed, and asked for.

    The clocks of the workers are real, so the half day ends in an hour, and all comes now.
    """

    def __init__(self, deployment: RealDeployment, store: ServingStore) -> None:
        self.metrics, self.source, self.store = deployment.metrics, deployment.source, store
        self.log = Log(PARTITIONS)
        self.processes = Processes(deployment, self.log)
        now = int(time.time() * 1000)
        start = now - 11 * HOUR
        self.auditor = Auditor(self, start)
        traffic = Traffic(1, CLICKS, self.source, start, now, deployment.schema)
        self.sent = traffic.sent

    async def fold(self, records: list[Sent], failpoint: str) -> None:
        """Have a worker killed while it folds the next records, and another one go on."""
        for one in records:
            offset = self.log.send(one.partition, one.value, one.came)
            self.auditor.records[one.partition, offset] = one
        self.processes.produce()
        with self.processes.worker(failpoint) as worker:
            worker.wait(180)
        await self.drain()

    async def drain(self) -> None:
        """Fold everything."""
        self.processes.produce()
        with self.processes.worker() as worker:
            await self.processes.until_folded(worker)
        await self.auditor.audit()

    async def replay(self, archiving: str, counting: list[str]) -> None:
        """Archive and count again; both are killed, and go on."""
        for failpoint in (archiving, ""):
            self.processes.archive(failpoint)
        for failpoint in (*counting, ""):
            self.processes.replay("--resume", failpoint=failpoint)
            await self.auditor.audit()

    def letters(self) -> set[tuple[int, int]]:
        """Partition and offset of each dead letter."""
        topic = f"{self.source.topic}.dead-letters"
        bootstrap = self.processes.deployment.services.kafka.bootstrap
        reader = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader"})
        places = [TopicPartition(topic, p, OFFSET_BEGINNING) for p in range(PARTITIONS)]
        reader.assign(places)
        left = sum(reader.get_watermark_offsets(place)[1] for place in places)
        found = set()
        for message in reader.consume(left, timeout=120):
            headers = dict(cast("list[tuple[str, bytes]]", message.headers()))
            found.add((int(headers["fastdata.partition"]), int(headers["fastdata.offset"])))
        reader.close()
        return found


@pytest.mark.parametrize(
    "rounds",
    [
        pytest.param(ROUNDS[:2], id="two rounds"),
        pytest.param(ROUNDS, id="all rounds", marks=pytest.mark.nightly),
    ],
)
async def test_every_answer_is_true_while_workers_archivers_and_replays_are_killed(
    deploy: Deploy, tmp_path: Path, rounds: list[Round]
) -> None:
    deployment = deploy(tmp_path, DECLARED / "agents" / "clicks.py", DECLARED / "schemas")
    assert isinstance(deployment, RealDeployment)
    async with open_store(deployment.services.store) as store:
        day = Day(deployment, store)
        fates = Counter(one.fate for one in day.sent)
        assert min(fates[fate] for fate in ("bad", "fold", "future", "late", "repeat")) >= 40
        share = -(-len(day.sent) // len(rounds))
        for number, (folding, archiving, counting) in enumerate(rounds):
            await day.fold(day.sent[number * share : (number + 1) * share], folding)
            await day.replay(archiving, counting)
        day.log.fill(day.source.segment_size)
        await day.drain()
        day.processes.archive()
        day.processes.replay()
        await day.auditor.audit()
        seen = day.auditor.seen
        assert min(seen.exact, seen.doubled, seen.widened, seen.after_batch) >= 10, seen
        broken = {place for place, one in day.auditor.records.items() if one.fate == "bad"}
        assert broken == day.letters() & day.auditor.records.keys()
