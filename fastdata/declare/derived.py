"""A derived metric: measures that are computed from those of several metrics, row by row."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar, NoReturn, cast

from fastdata.coordinates.calendar import Calendar
from fastdata.declare.metric import Metric, wrong_name
from fastdata.declare.place import declaring_place
from fastdata.errors import DeclarationError
from fastdata.events.fieldtypes import FieldType, Kind
from fastdata.expressions import Node, describe, nodes_of, parse_expression
from fastdata.expressions.tree import Get
from fastdata.measures.estimates import Estimate, number_of
from fastdata.measures.numbers import arrow_type, rounded_quotient

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["AnyMetric", "DerivedMetric", "Formula"]


@dataclass(frozen=True, slots=True)
class Formula:
    """A measure of a derived metric, as a float.

    Attributes:
        parts: The names of the metrics and measures that it is made of.
    """

    node: Node
    parts: tuple[tuple[str, str], ...]
    kind: ClassVar[Kind] = "float"

    @classmethod
    def parse(cls, text: str, metrics: Sequence[Metric], user: str) -> "Formula":
        """Understand an expression.

        Args:
            user: What it is for; a message begins with it.

        Raises:
            DeclarationError: It is no number that is computed of measures.
        """
        from fastdata.expressions.intervals import interval_of

        records = {m.name: tuple(m.number_fields.items()) for m in metrics}
        fields = {name: FieldType("record", fields=record) for name, record in records.items()}
        try:
            node = parse_expression(text, fields, user)
        except DeclarationError as error:
            message = str(error).replace("no field in", "no measure that is a number in")
            raise DeclarationError(message.replace("no field", "no metric")) from error
        names = dict.fromkeys(part.text for part in nodes_of(node) if isinstance(part, Get))
        if not names or node.type.kind != "float":
            raise DeclarationError(
                f"{user}: {text!r} is {describe(node.type)}; it must be a number that is computed"
                " from measures, as in 'a.n / b.n'"
            )
        try:
            interval_of(node, names)
        except DeclarationError as error:
            raise DeclarationError(f"{user}: {error}") from error
        return cls(node, tuple([(m, n) for m, _, n in (name.partition(".") for name in names)]))

    def arrow_type(self) -> "pa.DataType":
        """The Arrow type that holds the answers."""
        return arrow_type("float")

    def derive(self, estimates: Mapping[tuple[str, str], Estimate]) -> Estimate:
        """The answer, correctly rounded, with bounds by interval arithmetic.

        It has no value where a part has none that is finite, or what it divides by is 0; and no
        bounds where that may be 0.

        Args:
            estimates: By metric and measure, those of `parts`, and maybe others.
        """
        from fastdata.expressions.intervals import Interval, interval_of

        parts = {".".join(part): estimates[part] for part in self.parts}
        is_certain = all(estimate.is_exact for estimate in parts.values())
        numbers = {name: number_of(part.value) for name, part in parts.items()}
        points = {name: None if n is None else Interval(n, n) for name, n in numbers.items()}
        value = interval_of(self.node, points)
        if value is None:
            return Estimate(None, None, None, 1.0 if is_certain else 0.0)
        if is_certain:
            return Estimate.exact(_rounded(value.low))
        ranges = {name: (e := part.ends()) and Interval(*e) for name, part in parts.items()}
        bounds = interval_of(self.node, ranges)
        lower, upper = (None, None) if bounds is None else map(_rounded, (bounds.low, bounds.high))
        # Each may fail without the others (Boole's inequality).
        confidence = max(0.0, 1.0 - sum(1.0 - part.confidence for part in parts.values()))
        return Estimate(_rounded(value.low), lower, upper, confidence)


class DerivedMetric:
    """Measures that are computed from those of other metrics, row by row, when it is asked.

        stability = DerivedMetric(
            "stability", [crashes, loads],
            measures={"crashes_per_load": "crashes.crashes / loads.loads",
                      "crash_free": "1 - crashes.users / loads.users"},
        )

    Nobody counts it, and nothing of it is stored. It is asked like any metric.

    Args:
        name: Lower case; no metric has it.
        metrics: Of one source, or of several.
        measures: By name, expressions of `metric.measure`, numbers, + - * and /.
        zone: Of its days, as in "Europe/Berlin". None for that of the metrics.

    Attributes:
        by: The dimensions that all of the metrics have: its rows are of these.
        calendar: The days, weeks and months of the zone.
        columns: What computes each measure, in order.

    Raises:
        DeclarationError: With the place of the declaration, and the measures there are.
    """

    def __init__(
        self,
        name: str,
        metrics: Sequence[Metric],
        measures: Mapping[str, str],
        zone: str | None = None,
    ) -> None:
        self.place = declaring_place()
        self.name = name
        self.metrics = tuple(metrics) if isinstance(metrics, Sequence) else ()
        if not self.metrics or not all(isinstance(m, cast("type", Metric)) for m in self.metrics):
            self._fail(f"its metrics are {metrics!r}; give a list of them, as in [crashes, loads]")
        if len({metric.name for metric in self.metrics}) < len(self.metrics):
            self._fail("two of its metrics have one name; name each once")
        if not isinstance(cast("object", measures), Mapping) or not measures:
            self._fail(f"measures is {measures!r}; name some, as in {{'share': 'a.n / b.n'}}")
        self.by = tuple(n for n in self.metrics[0].by if all(n in m.by for m in self.metrics))
        self.measures = dict(measures)
        if message := wrong_name(name, self.by, self.measures):
            self._fail(message)
        for dimension in self.by:
            self._check_type(dimension)
        self.calendar = self._calendar(zone)
        user = f"derived metric {name!r}"
        self.columns = {
            label: Formula.parse(text, self.metrics, f"{self.place}: measure {label!r} of {user}")
            for label, text in measures.items()
        }

    def __repr__(self) -> str:
        return f"DerivedMetric({self.id!r})"

    @property
    def id(self) -> str:
        """Name and 12 hexadecimal digits of the definition's SHA-256, its metrics' included."""
        texts = [[label, formula.node.text] for label, formula in self.columns.items()]
        parts = json.dumps([[metric.id for metric in self.metrics], texts])
        return f"{self.name}-{hashlib.sha256(parts.encode()).hexdigest()[:12]}"

    @property
    def number_fields(self) -> dict[str, FieldType]:
        """The measures, all of them numbers, as an expression may name them."""
        return dict.fromkeys(self.columns, FieldType("float", nullable=True))

    def answers(self, parts: Sequence[tuple[Metric, Sequence[Estimate]]]) -> tuple[Estimate, ...]:
        """One estimate for each measure, in order.

        Args:
            parts: The metrics that the measures are made of, with an estimate for each of theirs.
        """
        estimates = {
            (metric.name, label): estimate
            for metric, answers in parts
            for label, estimate in zip(metric.columns, answers, strict=True)
        }
        return tuple([formula.derive(estimates) for formula in self.columns.values()])

    def dimension_type(self, name: str) -> FieldType:
        """The type of the values of the dimension `name`."""
        return self.metrics[0].dimension_type(name)

    def _check_type(self, name: str) -> None:
        types = {metric.name: metric.dimension_type(name) for metric in self.metrics}
        if len({(type.kind, type.unit) for type in types.values()}) > 1:
            kinds = ", ".join(f"{describe(type)} in {metric}" for metric, type in types.items())
            self._fail(f"the dimension {name!r} is {kinds}; cast one, or give it another name")

    def _calendar(self, zone: str | None) -> Calendar:
        zones = list(dict.fromkeys(metric.calendar.zone for metric in self.metrics))
        if zone is None and len(zones) > 1:
            have = ", ".join(zones)
            self._fail(f"its metrics have the zones {have}; give it one: zone={zones[0]!r}")
        try:
            return Calendar(zones[0] if zone is None else zone)
        except ValueError as error:
            self._fail(str(error))

    def _fail(self, message: str) -> NoReturn:
        raise DeclarationError(f"{self.place}: derived metric {self.name!r}: {message}")


AnyMetric = Metric | DerivedMetric


def _rounded(end: Fraction | float) -> float | None:
    # Of floats there are only the infinities, which are no bounds.
    return None if isinstance(end, float) else rounded_quotient(end.numerator, end.denominator)
