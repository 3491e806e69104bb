"""What is told of a layer that has stopped, or does not keep up."""

from dataclasses import replace

from fastdata.operate.freshness import Follower, late_to_count, late_to_read
from fastdata.operate.status import PartitionStatus, SourceStatus, Status

FRESH = PartitionStatus(
    0, log_start=0, log_end=100, folded=100, archived=100, closed=0, covered=0, lag=0, lag_s=0.0,
    read_age_s=4.0, archive_lag=0, archive_lag_s=0.0,
)  # fmt: skip


def judge(*partitions: PartitionStatus, of: tuple[Follower, ...] = ("speed", "archive")) -> str:
    numbered = tuple(replace(one, partition=p) for p, one in enumerate(partitions))
    source = SourceStatus("flights", "departures", numbered, (), {}, {})
    late = late_to_read(Status((source,), ()), 60.0, of)
    assert {(one.limit, one.source) for one in late} <= {("max_lag", "flights")}
    return "; ".join(one.text for one in late)


def test_what_is_read_and_archived_in_time_is_well() -> None:
    behind = replace(FRESH, lag=9, lag_s=2.0, read_age_s=59.0, archive_lag=50, archive_lag_s=12.0)

    assert judge(FRESH, behind) == ""


def test_a_worker_that_is_gone_is_told_though_no_event_came() -> None:
    silent = replace(FRESH, read_age_s=61.0)

    assert judge(FRESH, silent, silent) == (
        "flights: workers have read partitions 1, 2 up to 61 s ago only"
    )


def test_a_partition_that_nobody_has_read_is_told() -> None:
    assert judge(FRESH, replace(FRESH, read_age_s=None)) == (
        "flights: no worker has read partition 1"
    )


def test_an_archive_is_told_by_the_age_of_what_it_has_not() -> None:
    late = replace(FRESH, archived=40, archive_lag=60, archive_lag_s=90.0)

    assert judge(late) == "flights: 60 events of partition 0 not archived for 90 s"


def test_a_lag_of_unknown_age_is_not_well() -> None:
    late = replace(FRESH, archived=40, archive_lag=60, archive_lag_s=None)

    assert judge(late) == "flights: 60 events of partition 0 not archived"


def test_each_layer_can_be_asked_for_alone() -> None:
    late = replace(FRESH, archive_lag=60, archive_lag_s=90.0)
    silent = replace(FRESH, read_age_s=61.0)

    assert judge(late, of=("speed",)) == ""
    assert judge(silent, of=("archive",)) == ""


def test_a_topic_that_cannot_be_seen_is_not_well() -> None:
    gone = replace(FRESH, log_start=None, log_end=None)

    unseen = "flights: the topic 'departures' cannot be seen"
    assert judge(of=("speed",)) == judge(gone, of=("archive",)) == unseen


def test_events_that_no_replay_has_counted_in_time_are_told_with_the_limit_they_passed() -> None:
    partitions = tuple(
        replace(FRESH, partition=p, covered_age_s=age)
        for p, age in enumerate((0.0, 14_000.0, 15_000.0, 16_000.0, None))
    )
    status = Status((SourceStatus("flights", "departures", partitions, (), {}, {}),), ())

    assert late_to_count(status, 16_000.0) == []
    assert [late.as_dict() for late in late_to_count(status, 14_400.0)] == [
        {
            "limit": "max_age", "source": "flights", "layer": "batch",
            "text": "flights: events of partitions 2, 3 were counted by no replay for 16,000 s",
        }
    ]  # fmt: skip
