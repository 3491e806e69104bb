"""The place of a worker in its group: its name, and that it is given up in order."""

from typing import Any, cast

import faust
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.protocol.group import LeaveGroupRequest

from fastdata.settings import Settings
from fastdata.speed.app import make_app
from fastdata.speed.membership import give_up_place, name_place


def named(member: str | None, partitions: dict[str, int]) -> str | None:
    app: faust.App = make_app(settings=Settings.load(), consumer_group_instance_id=member)
    name_place(app, partitions)
    return cast("str | None", app.conf.consumer_group_instance_id)


def test_a_place_is_the_same_while_the_partitions_are() -> None:
    name = named("a-1", {"clicks": 4, "views": 2})

    assert name is not None
    assert name.startswith("a-1-")
    assert named("a-1", {"views": 2, "clicks": 4}) == name


@pytest.mark.parametrize("partitions", [{"clicks": 6}, {"clicks": 4, "views": 2}, {"views": 4}])
def test_a_place_is_another_one_with_other_partitions(partitions: dict[str, int]) -> None:
    assert named("a-1", partitions) != named("a-1", {"clicks": 4})


def test_who_has_no_place_gets_none() -> None:
    assert named(None, {"clicks": 4}) is None


class Leaving(GroupCoordinator):  # type: ignore[misc]
    """aiokafka's own in a group with a place, with what it would send."""

    def __init__(self) -> None:
        self.group_id, self.member_id, self.generation = "group", "a-1-id", 3
        self._group_instance_id = "a-1"
        self.sent: list[object] = []

    async def _send_req(self, request: object) -> None:
        self.sent.append(request)

    def reset_generation(self) -> None:
        pass


@pytest.mark.parametrize(("is_given_up", "requests"), [(False, 0), (True, 1)])
async def test_a_worker_leaves_its_group_when_it_has_given_up_its_place(
    is_given_up: bool, requests: int
) -> None:
    class Consumer:
        _coordinator = Leaving()

    if is_given_up:
        give_up_place(cast(AIOKafkaConsumer, Consumer()))
    await cast(Any, Consumer._coordinator)._maybe_leave_group()

    sent = Consumer._coordinator.sent
    assert [type(request) for request in sent] == [LeaveGroupRequest] * requests


def test_there_may_be_no_group_yet() -> None:
    give_up_place(None)
