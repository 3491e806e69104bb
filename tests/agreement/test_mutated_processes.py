"""Mutated records through worker and archiver as processes: neither ends, nothing is lost."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from fastdata import Metric
from fastdata.archive import ArchiveReader, open_archive_storage
from fastdata.batch.replay import replay
from fastdata.declare.catalog import load_folder
from fastdata.demo.processes import Processes
from fastdata.errors import StoreUnavailableError
from fastdata.events.decoder import Decoder
from fastdata.events.registry import FolderRegistry
from fastdata.speed.dead_letters import dead_letter_topic
from fastdata.store.opening import open_store
from tests.support.lab import PARTITIONS
from tests.support.mockbroker import MockBroker
from tests.support.mutations.fates import fates_of
from tests.support.mutations.records import Sender

AGENTS = Path(__file__).parents[2] / "agents"
DECLARED = Path(__file__).parent / "declared"
FILES = (
    AGENTS / "page_views.py",
    AGENTS / "retail.py",
    AGENTS / "web_log.py",
    DECLARED / "agents" / "purchases.py",
)
RECORDS = 1_500  # of each source
EVERYTHING = '\n{source}_all = Metric("{source}_all", {source})\n'


@dataclass
class Sent:
    """What was sent to one source, whose metrics have `everything` among them."""

    metrics: list[Metric]
    everything: Metric
    values: list[bytes | None]

    @property
    def topic(self) -> str:
        return self.everything.source.topic


@pytest.fixture
def broker() -> Iterator[MockBroker]:
    with MockBroker() as running:
        yield running


def deployed(folder: Path, broker: str) -> list[Sent]:
    """A deployment of some agents, and mutated records for each."""
    for name in ("agents", "schemas", "logs"):
        (folder / name).mkdir()
    for path in FILES:
        text = path.read_text()
        name = text.partition(" = Source(")[0].rpartition("\n")[2]
        (folder / "agents" / path.name).write_text(text + EVERYTHING.format(source=name))
        for schema in (path.parents[1] / "schemas").glob("*.avsc"):
            (folder / "schemas" / schema.name).write_text(schema.read_text())
    settings = {"broker": broker, "registry": "schemas", "store": "sqlite:///store.db"}
    settings |= {"agents": "agents", "archive": "archive", "state": "state"}
    lines = [f'{name} = "{value}"\n' for name, value in settings.items()]
    (folder / "fastdata.toml").write_text("".join(lines))
    catalog, rng = load_folder(folder / "agents"), Random(7)
    sent = []
    for source in catalog.sources.values():
        schemas, is_log = [json.loads(source.schema.canonical)], source.pattern is not None
        sender = Sender(rng, schemas, source.time, source.format, is_log)
        metrics = catalog.of_source(source)
        (everything,) = [metric for metric in metrics if metric.name.endswith("_all")]
        sent.append(Sent(metrics, everything, [sender.value() for _ in range(RECORDS)]))
    return sent


@pytest.mark.processes
async def test_no_record_ends_a_worker_or_an_archiver(tmp_path: Path, broker: MockBroker) -> None:
    sent = deployed(tmp_path, broker.address)
    producer = Producer({"bootstrap.servers": broker.address})
    for one in sent:
        broker.create(one.topic)
        for number, value in enumerate(one.values):
            producer.produce(one.topic, value, partition=number % PARTITIONS)
        producer.flush()
    async with Processes(tmp_path) as processes:
        processes.start("worker")
        processes.start("archive")
        for one in sent:
            await until_done(tmp_path, one, processes)
        await processes.stop()

    storage, store = (
        open_archive_storage(str(tmp_path / "archive")),
        f"sqlite:///{tmp_path}/store.db",
    )
    async with open_store(store, create=False) as opened:
        for one in sent:
            source = one.everything.source
            decoder = Decoder(source, FolderRegistry(tmp_path / "schemas"))
            fates = await fates_of(opened, one.everything, decoder, one.values)
            assert fates.total() == RECORDS, fates
            dead = sum(count for reason, count in fates.items() if reason.startswith("dead:"))
            assert dead
            assert letters(broker.address, one.topic) >= dead
            report = await replay(one.metrics, store=opened, archive=storage, workers=0)
            assert report.metrics[0].events == RECORDS - dead


async def until_done(folder: Path, one: Sent, processes: Processes) -> None:
    """Wait until all is folded, and archived."""
    reader = ArchiveReader(open_archive_storage(str(folder / "archive")), one.everything.source)
    for _ in range(720):
        processes.check()
        with suppress(StoreUnavailableError):  # the worker has not made it yet
            async with open_store(f"sqlite:///{folder}/store.db", create=False) as store:
                progress = await store.progress(one.topic)
            folded = sum(each.next_offset for each in progress)
            durable = (await reader.snapshot()).durable.values()
            if folded == RECORDS == sum(durable):
                return
        await asyncio.sleep(0.25)
    pytest.fail(f"not all of {one.topic} was folded and archived")


def letters(broker: str, topic: str) -> int:
    """How many dead letters there are; twice those of a worker that began again."""
    consumer = Consumer({"bootstrap.servers": broker, "group.id": "reader"})
    name = dead_letter_topic(topic)
    numbers = consumer.list_topics(name, timeout=10).topics[name].partitions
    ends = [consumer.get_watermark_offsets(TopicPartition(name, n), timeout=10) for n in numbers]
    consumer.close()
    return sum(high - low for low, high in ends)
