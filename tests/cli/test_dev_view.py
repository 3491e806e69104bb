"""What `fastdata dev` takes for done, and for exact."""

from dataclasses import replace

from fastdata.cli.dev_view import DevMoment
from fastdata.operate.status import PartitionStatus, SourceStatus, Status
from fastdata.store.protocol import Run


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
