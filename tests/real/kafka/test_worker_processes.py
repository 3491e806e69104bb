"""Several workers below one process, in a group of a real broker."""

import os
import signal
import socket

from tests.real.kafka.groups import Group
from tests.real.kafka.test_partitions import add_partitions, send_to_added
from tests.support.lab import Lab, stop
from tests.support.services.kafka import Kafka
from tests.support.services.server import free_port
from tests.support.supervising import children, joins, supervised
from tests.support.telling import is_ready, running


async def test_one_that_is_started_again_costs_the_others_no_rebalance(
    lab: Lab, kafka: Kafka
) -> None:
    group = Group(kafka.bootstrap, lab.topic)
    lab.produce(1_000)
    with supervised(lab, session_s=60) as supervisor:
        lab.wait_until(lambda: len(group.shares()) == 2, 60)
        lab.wait_until_folded(1_000)
        killed, other = children(supervisor.pid)
        before = joins(lab, other)
        os.kill(killed, signal.SIGKILL)
        lab.produce(1_000)
        lab.wait_until_folded(2_000)
        assert joins(lab, other) == before
        assert len(group.shares()) == 2
        # Nor does it matter which of them leads the group.
        again = next(pid for pid in children(supervisor.pid) if pid != other)
        os.kill(other, signal.SIGKILL)
        lab.produce(1_000)
        lab.wait_until_folded(3_000)
        assert joins(lab, again) == 1
        assert stop(supervisor) == 0

    assert group.shares() == []  # they have left, and whoever comes needs not wait for them
    assert await lab.answer() == lab.expected()


async def test_partitions_that_are_added_are_read_by_those_that_are_started_again(
    lab: Lab, kafka: Kafka
) -> None:
    group = Group(kafka.bootstrap, lab.topic)
    lab.produce(400)
    with supervised(lab, session_s=30) as supervisor:
        lab.wait_until(lambda: len(group.shares()) == 2, 60)
        lab.wait_until_folded(400)
        add_partitions(kafka, lab.topic, 6)
        send_to_added(lab, kafka)
        lab.wait_until_folded(440)
        assert stop(supervisor) == 0

    assert await lab.answer() == lab.expected()


def test_a_topic_that_is_missing_ends_all_with_1(lab: Lab) -> None:
    source = (lab.folder / "agents/clicks.py").read_text()
    missing = source.replace(f'topic="{lab.topic}"', 'topic="nowhere"')
    (lab.folder / "agents/clicks.py").write_text(missing)
    run = lab.fastdata("worker", "--processes", "2")

    assert run.returncode == 1
    assert "fastdata cannot start: there is no topic 'nowhere'" in run.stdout + run.stderr
    assert "ended with code 1, and so all are stopped" in run.stderr


def test_each_of_several_workers_has_the_next_port(lab: Lab) -> None:
    port = two_free_ports()
    lab.produce(400)
    words = "worker", "--processes", "2", "--metrics-port", str(port)
    with running(lab, *words) as worker:
        lab.wait_until(lambda: is_ready(port) and is_ready(port + 1))
        lab.wait_until_folded(400)
        assert stop(worker) == 0


def two_free_ports() -> int:
    """The first of two ports in a row that nobody has; no outgoing connection takes either."""
    while True:
        port = free_port()
        with socket.socket() as following:
            try:
                following.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
        return port
