"""Whether the layers are alive and keep up."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Literal

from fastdata.operate.status import PartitionStatus, SourceStatus, Status

__all__ = ["Follower", "Late", "late_to_count", "late_to_read"]

Follower = Literal["speed", "archive"]


@dataclass(frozen=True, slots=True)
class Late:
    """A layer that is further behind than it may be.

    Attributes:
        limit: Which one was passed: `max_lag` or `max_age`.
        layer: `speed`, `archive` or `batch`.
        text: A sentence.
    """

    limit: str
    source: str
    layer: str
    text: str

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def late_to_read(status: Status, max_lag_s: float, followers: Iterable[Follower]) -> list[Late]:
    """What is further behind the log than it may be; empty when nothing is.

    The speed layer says every few seconds up to when it has read, whether events come or not. The
    archive says what it has: while no events come, nobody can tell whether an archiver runs, and
    nothing can be lost.

    Args:
        status: What was read of all sources.
        max_lag_s: How old the oldest event may be that is not folded, or not archived.
        followers: The layers to look at.
    """
    return [
        Late("max_lag", source.source, layer, f"{source.source}: {text}")
        for source in status.sources
        for layer in dict.fromkeys(followers)
        for text in _late_follower(source, max_lag_s, layer)
    ]


def late_to_count(status: Status, max_age_s: float) -> list[Late]:
    """The sources with an event that is older than it may be, and that no replay has counted.

    Args:
        status: What was read of all sources, with their runs.
        max_age_s: How old the oldest event may be that a metric's newest replay has not counted.
    """
    late = []
    for source in status.sources:
        old = [p for p in source.partitions if (p.covered_age_s or 0.0) > max_age_s]
        if old:
            age_s = max(p.covered_age_s or 0.0 for p in old)
            text = f"events of {_named(old)} were counted by no replay for {age_s:,.0f} s"
            late.append(Late("max_age", source.source, "batch", f"{source.source}: {text}"))
    return late


def _late_follower(source: SourceStatus, max_lag_s: float, layer: Follower) -> Iterator[str]:
    present = [partition for partition in source.partitions if partition.log_end is not None]
    if not present:
        yield f"the topic {source.topic!r} cannot be seen"
    elif layer == "speed":
        yield from _late_workers(present, max_lag_s)
    else:
        yield from _late_archivers(present, max_lag_s)


def _late_workers(present: list[PartitionStatus], max_lag_s: float) -> Iterator[str]:
    ages = {p: p.read_age_s for p in present}
    never = [p for p, age in ages.items() if age is None]
    old = [p for p, age in ages.items() if age is not None and age > max_lag_s]
    if never:
        yield f"no worker has read {_named(never)}"
    if old:
        age_s = max(ages[p] or 0.0 for p in old)
        yield f"workers have read {_named(old)} up to {age_s:,.0f} s ago only"


def _late_archivers(present: list[PartitionStatus], max_lag_s: float) -> Iterator[str]:
    late = [p for p in present if _is_late(p.archive_lag, p.archive_lag_s, max_lag_s)]
    if late:
        events = sum(p.archive_lag or 0 for p in late)
        ages_s = [p.archive_lag_s for p in late if p.archive_lag_s is not None]
        since = f" for {max(ages_s):,.0f} s" if ages_s else ""
        lag = "1 event" if events == 1 else f"{events:,} events"
        yield f"{lag} of {_named(late)} not archived{since}"


def _is_late(lag: int | None, lag_s: float | None, max_lag_s: float) -> bool:
    """Whether there is a lag that is too old, or of an age that nobody could read."""
    return bool(lag) and (lag_s is None or lag_s > max_lag_s)


def _named(partitions: list[PartitionStatus]) -> str:
    numbers = ", ".join(str(partition.partition) for partition in partitions)
    return f"partition{'s' if len(partitions) > 1 else ''} {numbers}"
