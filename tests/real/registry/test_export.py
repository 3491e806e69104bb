"""A flat table in a topic, whose schema a registry gets."""

from pathlib import Path

import pytest

from fastdata import export
from fastdata.events.schema import wire_id
from fastdata.events.url_registry import UrlRegistry
from fastdata.kafka.connection import Broker
from fastdata.kafka.reading import TopicReader
from fastdata.store.memory import MemoryStore
from tests.answer.trips import NOON, declare
from tests.exports.rides import replay_hours
from tests.support.mockbroker import MockBroker
from tests.support.services.registry import Registry


async def test_the_schema_of_a_topic_is_registered_and_its_id_is_on_the_wire(
    registry: Registry,
    client: UrlRegistry,
    subject: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rides = declare(tmp_path)
    with MockBroker() as broker:
        monkeypatch.setenv("FASTDATA_BROKER", broker.address)
        monkeypatch.setenv("FASTDATA_REGISTRY", registry.url)
        async with MemoryStore() as store, TopicReader(Broker(broker.address), "test") as reader:
            await replay_hours(rides, store, [NOON])
            await export(rides, f"kafka://{subject}", store=store)
            [record] = [record async for record in reader.read(subject)]
    [version] = await client.versions(f"{subject}-value")

    assert version.id == wire_id(record.value)
    assert ("rides_1h", "km_change") == (version.schema.name, [*version.schema.fields][-1])
