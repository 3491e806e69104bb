"""Events that are sent on, whose schema a registry gets when a worker starts."""

import json
from pathlib import Path

from fastdata.events.schema import wire_id
from fastdata.events.url_registry import UrlRegistry
from tests.support.lab import Lab, stop
from tests.support.mockbroker import MockBroker
from tests.support.services.registry import Registry


async def test_the_schema_is_registered_and_one_that_cannot_follow_it_is_refused(
    registry: Registry, client: UrlRegistry, subject: str, tmp_path: Path
) -> None:
    with MockBroker() as broker:
        broker.create(subject)
        lab = Lab(tmp_path, broker.address, subject, FASTDATA_REGISTRY=registry.url)
        agents = tmp_path / "agents/clicks.py"
        declared, topic = agents.read_text(), f"{subject}-clean"
        agents.write_text(f'{declared}\nclicks.to("{topic}")\n')
        lab.produce(40)
        with lab.worker("fastdata") as worker:
            lab.wait_until_folded(40)
            sent = lab.read(topic, 40)
            assert stop(worker) == 0
        [version] = await client.versions(f"{topic}-value")
        assert {wire_id(message.value() or b"") for message in sent} == {version.id}

        other = {"name": "Other", "type": "record", "fields": [{"name": "at", "type": "string"}]}
        (tmp_path / "schemas/other.avsc").write_text(json.dumps(other))
        agents.write_text(f'{declared}\nclicks.to("{topic}", schema="schemas/other.avsc")\n')
        refused = lab.fastdata("worker")

    assert refused.returncode == 1
    assert f"cannot read the events of version 1 of {topic}-value" in refused.stderr
