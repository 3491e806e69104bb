"""An alert: a condition on a metric's measures that is told when it holds, and when no more."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NoReturn, cast
from urllib.parse import urlsplit

from fastdata.coordinates.dimensions import Dimension, load_dims
from fastdata.coordinates.instants import DAY_MS, MINUTE_MS, parse_duration
from fastdata.declare.derived import AnyMetric, DerivedMetric
from fastdata.declare.filters import Filter
from fastdata.declare.metric import Metric
from fastdata.declare.place import declaring_place
from fastdata.errors import DeclarationError, FastdataError, did_you_mean
from fastdata.events.fieldtypes import FieldType
from fastdata.expressions import Column, Node, describe, nodes_of, parse_expression
from fastdata.measures.estimates import Estimate, Value

__all__ = ["Alert"]

_MOST_CHARS = 64
# Bounds of sketches are three standard deviations, of which one answer in hundreds is outside.
# With six it is one in a billion.
_SKETCH_STRETCH = 2


class Alert:
    """A condition on the measures of a metric, judged on their bounds.

        Alert("crash rate", loads, when="crashes / loads > 0.02", every="5m", for_="10m")

    It opens when the condition certainly holds in each window of `for_`, and closes with the first
    window in which it certainly does not, or `until` certainly holds. What the bounds leave open
    changes nothing that is open, and ends what has not opened yet.

    Args:
        name: For people, and what it is known by: another one of that name goes on with its state.
        metric: What it is about, derived or not.
        when: As in "errors > 10 and errors / requests >= 0.05": the measures that are numbers, + -
            * /, comparisons, AND, OR and NOT.
        until: What closes it, as in "errors / requests < 0.01", so that it does not flap around one
            threshold. None: that `when` does not hold.
        every: Width of a window, as in "5m": whole minutes, a day at most.
        for_: In how long a time, of whole windows, it must hold; a day at most. None for one.
        by: Dimensions: each combination that has events opens and closes for itself.
        where: A condition on dimensions, as of a query.
        to: Where events of it are posted to as JSON, as in "https://host/path"; None for nowhere.
        wait: How long after the end of a window, in event time, it is judged: for events that
            come out of order.

    Attributes:
        measures: The names in `when` and `until`.
        windows: How many there are in `for_`.
        definition: What tells it from others of its name.

    Raises:
        DeclarationError: With the place of the declaration, and the measures there are.
    """

    def __init__(
        self,
        name: str,
        metric: AnyMetric,
        *,
        when: str,
        until: str | None = None,
        every: str | timedelta,
        for_: str | timedelta | None = None,
        by: str | Sequence[str] = (),
        where: str | None = None,
        to: str | None = None,
        wait: str | timedelta = "10s",
    ) -> None:
        self.place = declaring_place()
        self.name = name
        if not isinstance(name, str) or not 0 < len(name) <= _MOST_CHARS or not _is_plain(name):
            self._fail(f"its name must be 1 to {_MOST_CHARS} printable characters")
        if not isinstance(cast("object", metric), AnyMetric):
            self._fail(f"it is of {metric!r}; give it a Metric")
        self.metric, self.when, self.until, self.where = metric, when, until, where
        self.every_ms = self._duration("every", every, MINUTE_MS)
        for_ms = self.every_ms if for_ is None else self._duration("for_", for_, self.every_ms)
        self.windows = for_ms // self.every_ms
        self.wait_ms = self._duration("wait", wait, 0)
        self.by = tuple(dict.fromkeys([by] if isinstance(by, str) else by))
        self._condition = self._parse("when", when)
        self._end = None if until is None else self._parse("until", until)
        conditions = [self._condition] if self._end is None else [self._condition, self._end]
        nodes = [node for condition in conditions for node in nodes_of(condition)]
        self.measures = tuple(dict.fromkeys(n.name for n in nodes if isinstance(n, Column)))
        self._check_dimensions()
        self.to = self._check_url(to)
        self.definition = self._digest(for_ms)

    def __repr__(self) -> str:
        return f"Alert({self.name!r})"

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Those that are stored, of which its measures are made."""
        if isinstance(metric := self.metric, Metric):
            return (metric,)
        named = {name for label in self.measures for name, _ in metric.columns[label].parts}
        return tuple([part for part in metric.metrics if part.name in named])

    @property
    def topics(self) -> set[str]:
        """The topics of their events."""
        return {metric.source.topic for metric in self.metrics}

    @property
    def host(self) -> str | None:
        """Where events of it are posted to, without what may be secret."""
        return None if self.to is None else urlsplit(self.to).hostname

    def verdict(self, estimates: Mapping[str, Estimate]) -> bool | None:
        """Whether the condition certainly holds, or certainly does not; None when neither.

        Args:
            estimates: By the name of the measure; others are not asked for.
        """
        return self._certainly(self._condition, estimates)

    def is_over(self, estimates: Mapping[str, Estimate], holds: bool | None) -> bool:
        """Whether what is open closes.

        Args:
            estimates: As of `verdict`.
            holds: The verdict on them.
        """
        if self._end is None:
            return holds is False
        return holds is not True and self._certainly(self._end, estimates) is True

    def _certainly(self, condition: Node, estimates: Mapping[str, Estimate]) -> bool | None:
        from fastdata.expressions.intervals import Interval, verdict

        values: dict[str, Interval | None] = {}
        for name, estimate in estimates.items():
            value, low, high = map(_written, (estimate.value, estimate.lower, estimate.upper))
            written = Estimate(value, low, high, estimate.confidence)
            ends = written.ends(1 if estimate.confidence == 1.0 else _SKETCH_STRETCH)
            values[name] = None if ends is None else Interval(*ends)
        return verdict(condition, values)

    def dimensions(self, key: str) -> dict[str, object]:
        """The values of a combination by name, for JSON: dates and instants as ISO text.

        Args:
            key: The values as canonical JSON.
        """
        named = zip(self.by, load_dims(key), strict=False)
        return {name: _shown(value, self.metric.dimension_type(name)) for name, value in named}

    def _digest(self, for_ms: int) -> str:
        """What tells it from others; what was not given is not in it."""
        name, condition = self.metric.name, self._condition.text
        parts: list[object] = [name, condition, self.every_ms, for_ms, self.by, self.where]
        if isinstance(self.metric, DerivedMetric):
            parts.append(self.metric.measures)
        if self._end is not None:
            parts.append(self._end.text)
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]

    def _parse(self, argument: str, text: str) -> Node:
        """A condition on measures, which can be judged by bounds."""
        user = f"{self.place}: {argument} of alert {self.name!r}"
        try:
            condition = parse_expression(text, self.metric.number_fields, user)
        except DeclarationError as error:
            message = str(error).replace("no field", f"no measure of metric {self.metric.name!r} "
                                         "that is a number,")  # fmt: skip
            raise DeclarationError(message) from error
        if condition.type.kind != "bool":
            kind = describe(condition.type)
            self._fail(
                f"{argument} is {text!r}, no condition but {kind}; compare it with something"
            )
        names = [node.name for node in nodes_of(condition) if isinstance(node, Column)]
        try:
            self._certainly(condition, dict.fromkeys(names, Estimate.exact(None)))
        except DeclarationError as error:
            self._fail(f"{argument}: {error}")
        if not names:
            self._fail(f"{argument} is {text!r}, which names no measure; it would never change")
        return condition

    def _check_dimensions(self) -> None:
        if unknown := [name for name in self.by if name not in self.metric.by]:
            have = f"its dimensions are: {', '.join(self.metric.by) or 'none'}"
            advice = did_you_mean(unknown[0], self.metric.by, have)
            self._fail(f"metric {self.metric.name!r} has no dimension {unknown[0]!r}; {advice}")
        try:
            names = Filter.parse(self.metric, self.where).names if self.where is not None else ()
            for metric in self.metrics:
                metric.set_for([*self.by, *names])
        except FastdataError as error:
            self._fail(str(error))

    def _check_url(self, to: str | None) -> str | None:
        if to is None:
            return None
        try:
            parts = urlsplit(to)
            is_address = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except (ValueError, AttributeError):  # no such host or port, or no text at all
            is_address = False
        if not is_address:
            self._fail("`to` is no address; write it as in 'https://host/path'")
        if not (parts.path + parts.query).isascii() or not to.isprintable() or " " in to:
            self._fail("`to` has a character that no address has; write %20 for a space")
        if parts.username is not None:
            self._fail("`to` has a user in it, which is not sent; put secrets into path or query")
        return to

    def _duration(self, name: str, value: str | timedelta, unit_ms: int) -> int:
        """The milliseconds of one of the durations, in whole units; of 0 any will do."""
        try:
            duration_ms = parse_duration(value)
        except ValueError as error:
            self._fail(f"{name}: {error}")
        if duration_ms > DAY_MS or (unit_ms and (duration_ms < unit_ms or duration_ms % unit_ms)):
            whole = "" if not unit_ms else f" and whole times {unit_ms // MINUTE_MS} min"
            self._fail(f"{name} is {value}; it must be a day at most{whole}")
        return duration_ms

    def _fail(self, message: str) -> NoReturn:
        raise DeclarationError(f"{self.place}: alert {self.name!r}: {message}")


def _written(value: Value) -> Value:
    """A float as the shortest decimal that is read as it: the nearest float to 0.2 is above it."""
    return Decimal(repr(value)) if isinstance(value, float) else value


def _shown(value: Dimension, type: FieldType) -> Dimension:
    if not isinstance(value, int) or type.kind not in ("date", "timestamp"):
        return value
    is_date = type.kind == "date"
    unit = "days" if is_date else {"ms": "milliseconds", "us": "microseconds"}[type.unit]
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(**{unit: value})
    except OverflowError:  # outside the years 1 to 9999
        return value
    return moment.date().isoformat() if is_date else moment.isoformat().replace("+00:00", "Z")


def _is_plain(name: str) -> bool:
    return name.isprintable() and name == name.strip()
