"""What `fastdata dev` takes for done, and for exact."""

from dataclasses import replace
from pathlib import Path

import pytest

from fastdata.archive import open_archive_storage
from fastdata.cli.dev_log import DevLog
from fastdata.cli.dev_view import DevMoment, DevView
from fastdata.declare.catalog import catalog_of
from fastdata.operate.status import PartitionStatus, SourceStatus, Status
from fastdata.store.memory import MemoryStore
from fastdata.store.protocol import Run
from tests.answer.trips import MINUTE, NOON, TWO, declare, partial
from tests.cli.test_status import ScriptedLog


def partition(
    number: int, end: int | None, folded: int, archived: int, covered: int
) -> PartitionStatus:
    return PartitionStatus(
        number, log_start=0, log_end=end, folded=folded, archived=archived, closed=0,
        covered=covered, lag=0, lag_s=0.0, read_age_s=None if folded == 0 else 1.0,
        archive_lag=0, archive_lag_s=0.0,
    )  # fmt: skip


def moment(
    *partitions: PartitionStatus, has_metrics: bool = True, topic: str = "clicks"
) -> DevMoment:
    runs: dict[str, Run | None] = {"totals": None} if has_metrics else {}
    source = SourceStatus("clicks", topic, partitions, (), {}, runs)
    return DevMoment(Status((source,), ()), at_s=0.0)


def test_the_end_is_reached_when_the_slower_layer_has_each_partition() -> None:
    ends = moment(partition(0, 10, 0, 0, 0), partition(1, 5, 0, 0, 0)).ends

    assert not moment(partition(0, 10, 10, 9, 0), partition(1, 5, 5, 5, 0)).has_reached(ends)
    assert moment(partition(0, 12, 10, 11, 0), partition(1, 5, 5, 5, 0)).has_reached(ends)


def test_a_partition_that_cannot_be_seen_is_not_reached() -> None:
    ends = moment(partition(0, 10, 0, 0, 0), partition(1, 5, 0, 0, 0)).ends

    assert not moment(partition(0, 10, 10, 10, 0)).has_reached(ends)


class Said(DevLog):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__(as_json=False, is_verbose=False)
        self.texts: list[str] = []

    def say(self, text: str, **values: object) -> None:
        self.texts.append(text)


async def test_first_numbers_are_timed_from_the_first_event(tmp_path: Path) -> None:
    now = [partition(0, 0, 0, 0, 0), partition(0, 10, 0, 0, 0), partition(0, 10, 10, 0, 0)]
    async with MemoryStore() as store:
        view, log = viewing(tmp_path, store)
        for part, at_s in zip(now, (571.0, 574.0, 582.0), strict=True):
            await view.tell(replace(moment(part), at_s=at_s))

    (first,) = [text for text in log.texts if text.startswith("first numbers")]
    assert "first numbers 8.0 s after the first event: fastdata query rides --every all" == first


@pytest.mark.parametrize(
    ("window", "now", "until"),
    [
        (NOON, TWO + MINUTE, ""),  # its hour is over
        (NOON, NOON + 5 * MINUTE, " --to 2013-01-01T12:05Z"),
        (NOON + 5 * MINUTE, NOON + 5 * MINUTE + 7_000, " --to 2013-01-01T12:06Z"),
    ],
)
async def test_what_is_in_progress_is_not_asked_for(
    tmp_path: Path, window: int, now: int, until: str
) -> None:
    async with MemoryStore() as store:
        view, _ = viewing(tmp_path, store)
        await store.upsert([partial(declare(tmp_path), window, ["Oslo", 1], [(1, "anna")])], [])
        asked = await view._asked(now)

    assert f"fastdata query rides --every all{until}" == asked


def viewing(folder: Path, store: MemoryStore) -> tuple[DevView, Said]:
    log = Said()
    sources = store, open_archive_storage("memory:///"), ScriptedLog({})
    view = DevView(sources, log, 0.0, {})
    view.show(catalog_of([declare(folder)]))
    return view, log


def test_an_empty_log_is_not_read_before_a_worker_follows_it() -> None:
    unread = moment(partition(0, 0, 0, 0, 0))

    assert not unread.has_reached(unread.ends)


def test_what_came_after_the_end_is_not_asked_for() -> None:
    ends = {("clicks", 0): 10, ("clicks", 1): 5}
    later = moment(partition(0, 20, 20, 20, 15), partition(1, 8, 5, 5, 3))

    assert later.counted(ends) == 10 + 3


def test_events_of_no_metric_need_no_replay() -> None:
    now = moment(partition(0, 10, 10, 10, 0), has_metrics=False)

    assert now.counted(now.ends) == 10


def test_nothing_is_ready_before_a_worker_follows_each_partition() -> None:
    assert not moment().is_read
    assert not moment(partition(0, 0, 0, 0, 0), partition(1, 5, 1, 0, 0)).is_read
    assert moment(partition(0, 5, 1, 0, 0)).is_read


def test_dead_letters_of_an_earlier_log_are_said_to_be() -> None:
    now = moment(partition(0, 10, 10, 10, 10))
    (source,) = now.status.sources
    letters = {"dead:malformed": 3}
    none = replace(source, unfolded=letters)
    some = replace(none, dead_before={"dead:malformed": 2})

    assert "3 dead letters" == DevMoment(Status((none,), ()), 0.0).left_out()
    assert "3 dead letters (2 of an earlier log)" == DevMoment(Status((some,), ()), 0.0).left_out()


def test_a_sender_waits_for_the_slower_layer() -> None:
    now = moment(partition(0, 10, 7, 9, 0), partition(1, 10, 8, 2, 0))

    assert now.slowest("clicks") == {0: 7, 1: 2}
    assert now.slowest("others") == {}
