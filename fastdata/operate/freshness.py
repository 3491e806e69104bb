"""Whether the layers that follow the log are alive and keep up."""

from collections.abc import Iterable, Iterator
from typing import Literal

from fastdata.operate.status import PartitionStatus, SourceStatus, Status

__all__ = ["Follower", "stale"]

Follower = Literal["speed", "archive"]


def stale(status: Status, max_age_s: float, followers: Iterable[Follower]) -> list[str]:
    """What is further behind the log than it may be, a sentence each; empty when nothing is.

    The speed layer says every few seconds up to when it has read, whether events come or not. The
    archive says what it has: while no events come, nobody can tell whether an archiver runs, and
    nothing can be lost.

    Args:
        status: What was read of all sources.
        max_age_s: How old the oldest event may be that is not folded, or not archived.
        followers: The layers to look at.
    """
    chosen = set(followers)
    return [line for source in status.sources for line in _stale_of(source, max_age_s, chosen)]


def _stale_of(source: SourceStatus, max_age_s: float, chosen: set[Follower]) -> Iterator[str]:
    present = [partition for partition in source.partitions if partition.log_end is not None]
    if not present:
        yield f"{source.source}: the topic {source.topic!r} cannot be seen"
        return
    if "speed" in chosen:
        ages = {p: p.read_age_s for p in present}
        never = [p for p, age in ages.items() if age is None]
        old = [p for p, age in ages.items() if age is not None and age > max_age_s]
        if never:
            yield f"{source.source}: no worker has read {_named(never)}"
        if old:
            age_s = max(ages[p] or 0.0 for p in old)
            yield f"{source.source}: workers have read {_named(old)} up to {age_s:,.0f} s ago only"
    if "archive" in chosen:
        late = [p for p in present if _is_late(p.archive_lag, p.archive_lag_s, max_age_s)]
        if late:
            events = sum(p.archive_lag or 0 for p in late)
            ages_s = [p.archive_lag_s for p in late if p.archive_lag_s is not None]
            since = f" for {max(ages_s):,.0f} s" if ages_s else ""
            lag = "1 event" if events == 1 else f"{events:,} events"
            yield f"{source.source}: {lag} of {_named(late)} not archived{since}"


def _is_late(lag: int | None, lag_s: float | None, max_age_s: float) -> bool:
    """Whether there is a lag that is too old, or of an age that nobody could read."""
    return bool(lag) and (lag_s is None or lag_s > max_age_s)


def _named(partitions: list[PartitionStatus]) -> str:
    numbers = ", ".join(str(partition.partition) for partition in partitions)
    return f"partition{'s' if len(partitions) > 1 else ''} {numbers}"
