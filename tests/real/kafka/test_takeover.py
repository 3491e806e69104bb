"""A worker takes over what another one had."""

from tests.real.kafka.groups import Group
from tests.support.lab import Lab, stop
from tests.support.services.kafka import Kafka


async def test_two_workers_share_the_partitions_and_one_takes_over(lab: Lab, kafka: Kafka) -> None:
    group = Group(kafka.bootstrap, lab.topic)
    with lab.worker() as first, lab.worker() as second:
        lab.wait_until(lambda: len(group.shares()) == 2)
        lab.produce(1_000)
        lab.wait_until_folded(1_000)
        first.kill()
        lab.produce(1_000)
        lab.wait_until_folded(2_000)
        assert stop(second) == 0

    folders = sorted(p.name for p in (lab.folder / "data/state").iterdir())
    assert folders == ["worker-0", "worker-1"]
    assert await lab.answer() == lab.expected()
