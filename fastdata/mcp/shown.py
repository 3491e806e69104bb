"""What is shown of answers and reports: all that they say, in few words."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from fastdata.coordinates.instants import to_iso
from fastdata.operate.status import PartitionStatus, SourceStatus
from fastdata.store.protocol import Run
from fastdata.verify.reports import VerifiedMetric

__all__ = ["shown_rows", "shown_source", "shown_verification"]

_IN_ALL_ROWS = ("fresh_until", "read_until", "replayed_until")
_FINDINGS = 20


def shown_rows(rows: Iterable[dict[str, Any]], measures: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of an answer without what is the same in all of them, or says nothing new.

    Bounds stand where they are not the value itself; `in_progress` and `gap` where they hold.
    """
    return [_shown_row(row, measures) for row in rows]


def _shown_row(row: dict[str, Any], measures: Sequence[str]) -> dict[str, Any]:
    row = {name: value for name, value in row.items() if name not in _IN_ALL_ROWS}
    for name in measures:
        value, *bounds = (row[name + end] for end in ("", "_lower", "_upper"))
        # The items of a list have bounds of their own, where there are any.
        if bounds == [value] * 2 or (bounds == [None] * 2 and isinstance(value, list)):
            del row[f"{name}_lower"], row[f"{name}_upper"]
    return {n: v for n, v in row.items() if v or n not in ("in_progress", "gap")}


def shown_source(source: SourceStatus) -> dict[str, Any]:
    """How far the layers are with a source: of all partitions together, the worst one's times."""
    parts = source.partitions
    return {
        "source": source.source,
        "topic": source.topic,
        "partitions": len(parts),
        "read_until": None if source.read_until is None else to_iso(source.read_until),
        "lag_events": _of(sum, parts, lambda p: p.lag),
        "lag_s": _of(max, parts, lambda p: p.lag_s),
        "read_age_s": _of(max, parts, lambda p: p.read_age_s),
        "archive_lag_events": _of(sum, parts, lambda p: p.archive_lag),
        "archive_lag_s": _of(max, parts, lambda p: p.archive_lag_s),
        "not_replayed_for_s": _of(max, parts, lambda p: p.covered_age_s),
        "written": _of(sum, parts, lambda p: p.log_end),
        "folded": _of(sum, parts, lambda p: p.folded),
        "archived": _of(sum, parts, lambda p: p.archived),
        "covered": _of(sum, parts, lambda p: p.covered),
        "workers": sorted({str(p.worker) for p in parts if p.worker}),
        "archivers": sorted({str(p.archiver) for p in parts if p.archiver}),
        "skipped_events": sum(gap.end - gap.start for gap in source.gaps),
        "unfolded": source.unfolded,
        "dead_before": source.dead_before,
        "replays": {name: run and _shown_run(run) for name, run in source.runs.items()},
        "hints": [earlier.hint for earlier in source.earlier.values()],
    }


def _shown_run(run: Run) -> dict[str, Any]:
    start, end = to_iso(run.start), to_iso(run.end)
    return {"number": run.number, "start": start, "end": end, "is_done": run.is_done}


def _of(
    fold: Callable[[Iterable[Any]], Any],
    partitions: Iterable[PartitionStatus],
    number: Callable[[PartitionStatus], float | None],
) -> float | None:
    """A number of all partitions; None where it is not known of each, or there is none."""
    numbers = [number(partition) for partition in partitions]
    return None if not numbers or None in numbers else fold(numbers)


def shown_verification(metric: VerifiedMetric) -> dict[str, Any]:
    """What a recount has found of a metric, without each of its hours."""
    report = metric.as_dict()
    statuses = [span.speed for span in metric.spans]
    return report | {
        "spans": {status: statuses.count(status) for status in sorted(set(statuses))},
        "findings": [finding.as_dict() for finding in metric.findings[:_FINDINGS]],
    }
