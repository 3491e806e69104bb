"""What the condition of an alert is in some windows, by the answers of both layers."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal

from fastdata.alerts.judging import Judged
from fastdata.answer.arrow import Description, describe
from fastdata.answer.merge import Row
from fastdata.answer.query import Question, question_of
from fastdata.coordinates.dimensions import dump_dims
from fastdata.coordinates.instants import parse_instant, to_datetime
from fastdata.declare.alert import Alert
from fastdata.declare.derived import DerivedMetric
from fastdata.measures.estimates import Estimate, Value
from fastdata.store.protocol import ServingStore

__all__ = ["WindowVerdicts", "read_windows"]

_TOTAL = dump_dims(())


@dataclass(frozen=True, slots=True)
class WindowVerdicts:
    """The verdicts on some windows.

    Attributes:
        rows: By start of the window and dimension values: of those that were wanted, and of others
            from the first window on in which the condition holds.
    """

    alert: Alert
    rows: Mapping[int, Mapping[str, Judged]]
    _question: Question
    _about: Description

    @property
    def is_known(self) -> bool:
        """Whether workers have told of all partitions how far they are."""
        return self._about["fresh_until"] is not None

    def of(self, window: int, keys: Iterable[str]) -> dict[str, Judged]:
        """What the condition is in a window, by dimension values.

        Without `by` the total is always among them. What has no row has no events: it is what the
        measures say of none, unless a gap may hold some.

        Args:
            window: Its start, ms UTC.
            keys: Dimension values that are wanted, of those that `rows` has.
        """
        rows = self.rows.get(window, {})
        others = [key for key in (keys if self.alert.by else [_TOTAL]) if key not in rows]
        return {**rows, **{key: self._empty(window) for key in others}}

    def is_replayed(self, window: int) -> bool:
        """Whether batch has counted all hours of a window."""
        return self._lies_in("replayed", window, whole=True)

    def _empty(self, window: int) -> Judged:
        judged = _judged(self.alert, self._of_none())
        is_in_gap = self._lies_in("gaps", window, whole=False)
        return replace(judged, verdict=None, is_over=False) if is_in_gap else judged

    def _of_none(self) -> Sequence[Estimate]:
        """What the measures are of no events, of which some may have been left out."""
        unfolded, every_ms = self._about["unfolded"], self.alert.every_ms
        parts = [
            (view, view.answers(view.estimate(view.zero(), unfolded), every_ms))
            for view in self._question.metrics
        ]
        metric = self._question.metric
        return metric.answers(parts) if isinstance(metric, DerivedMetric) else parts[0][1]

    def _lies_in(self, name: str, window: int, *, whole: bool) -> bool:
        end = window + self.alert.every_ms
        stretches: list[dict[str, str]] = self._about[name]  # type: ignore[literal-required]
        edges = [(parse_instant(s["start"]), parse_instant(s["end"])) for s in stretches]
        if whole:
            return any(first <= window and end <= after for first, after in edges)
        return any(first < end and window < after for first, after in edges)


async def read_windows(
    alert: Alert, start: int, end: int, keys: Iterable[str], store: ServingStore
) -> WindowVerdicts:
    """The verdicts on the windows of `[start, end)`, ms UTC, as one consistent view of the store.

    Of a derived metric each of its metrics is one.

    Args:
        keys: Dimension values of which all verdicts are wanted.

    Raises:
        StoreError: The store failed.
        CorruptStateError: A stored state does not verify.
    """
    question = question_of(
        alert.metric,
        to_datetime(start),
        to_datetime(end),
        every=timedelta(milliseconds=alert.every_ms),
        by=alert.by,
        where=alert.where,
        measures=alert.measures,
    )
    rows: dict[int, dict[str, Judged]] = {}
    wanted = {_TOTAL, *keys}

    def watched(answered: Iterable[Row]) -> Iterable[Row]:
        # There may be very many in which nothing happens, so no table is made of them.
        for row in answered:
            key, judged = dump_dims(row.dims), _judged(alert, row.estimates)
            if judged.verdict:
                wanted.add(key)
            if key in wanted:
                rows.setdefault(row.start, {})[key] = judged
        return ()

    table = await question.answer(store, watched, parts=iter)
    return WindowVerdicts(alert, rows, question, describe(table))


def _judged(alert: Alert, estimates: Sequence[Estimate]) -> Judged:
    by_name = dict(zip(alert.measures, estimates, strict=True))
    ends = {n: list(map(_plain, (e.value, e.lower, e.upper))) for n, e in by_name.items()}
    verdict = alert.verdict(by_name)
    return Judged(verdict, alert.is_over(by_name, verdict), ends)


def _plain(value: Value) -> int | float | None:
    """A number for JSON, which has no others."""
    if isinstance(value, Decimal):
        value = float(value)
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value
