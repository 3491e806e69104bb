"""What a verification found."""

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from math import exp, isfinite, lgamma, log, log1p
from typing import Literal

from fastdata.coordinates.instants import to_iso

__all__ = [
    "AGREES",
    "INCOMPARABLE",
    "UNEXPLAINED",
    "Fact",
    "Finding",
    "SketchMisses",
    "SpanReport",
    "VerifiedMetric",
    "VerifyProgress",
    "VerifyReport",
]

AGREES, UNEXPLAINED, INCOMPARABLE = 0, 3, 4
"""The exit codes of `fastdata verify`."""

ComparedLayer = Literal["batch", "speed"]
SpeedStatus = Literal["compared", "nothing new", "moved on", "undone", "no worker", "never folded"]
_SHOWN_FINDINGS = 1_000
_COUNTERS = ("events", "tip_events", "new", "totals", "hours", "tips", "partials")
_RARE = 1e-3


@dataclass(frozen=True, slots=True)
class Finding:
    """A difference that nothing explains.

    Attributes:
        span: Start of the span, ms UTC.
        place: The window (ms UTC) and dimensions as JSON; or what else it is about.
        measure: None when it is about events.
        answer: What the layer says.
        expected: What the plain recount says.
    """

    metric: str
    layer: ComparedLayer
    span: int
    place: str
    measure: str | None
    answer: object
    expected: object
    detail: str

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "metric": self.metric,
            "layer": self.layer,
            "span": to_iso(self.span, "minutes"),
            "place": self.place,
            "measure": self.measure,
            "found": _plain(self.answer),
            "expected": _plain(self.expected),
            "detail": self.detail,
        }


@dataclass(frozen=True, slots=True)
class Fact:
    """How far one measure of one window and dimensions of the speed layer was off.

    Attributes:
        cause: Why it differs; "none" when it does not.
        error: Relative to what is right.
        is_number: Whether it is of numbers; of what is none, it is wrong or right.
    """

    measure: str
    cause: str
    error: float
    is_number: bool = True


@dataclass(slots=True)
class SketchMisses:
    """Sketches whose bounds do not hold the right value: a few of very many may.

    Attributes:
        compared: How many sketches were.
        confidence: The smallest of those that were compared.
        outside: Those whose bounds do not hold.
    """

    compared: int = 0
    confidence: float = 1.0
    outside: list[Finding] = field(default_factory=list)

    @property
    def are_plausible(self) -> bool:
        """Whether chance alone brings so many once in a thousand verifications, or more often."""
        return not self.outside or self._chance() >= _RARE

    def _chance(self) -> float:
        """The probability of so many outside, or more: the tail of a binomial distribution."""
        n, k, p = self.compared, len(self.outside), 1 - self.confidence
        if p <= 0:
            return 0.0
        terms = (
            lgamma(n + 1) - lgamma(i + 1) - lgamma(n - i + 1) + i * log(p) + (n - i) * log1p(-p)
            for i in range(k)
        )
        return max(0.0, 1 - sum(map(exp, terms)))


@dataclass(slots=True)
class SpanReport:
    """What was found of one metric in one span.

    Attributes:
        span: Its start, ms UTC.
        events: That the current version counts of closed segments, repeats included.
        tip_events: That it counts of open segments, without repeats.
        new: How many of `events` came with it: what the speed layer is compared on.
        totals: How many totals were compared; and `hours` (totals of the whole hour), `tips` and
            `partials`, likewise.
        speed: Whether it could be compared, or why not; of a span that a replay has just moved
            on nothing was.
        causes: Events by which the layers differ, by cause.
        unexplained: Events that are missing or too many in the speed layer for no known cause.
        facts: Rows of the speed layer against the recount.
    """

    span: int
    events: int = 0
    tip_events: int = 0
    new: int = 0
    totals: int = 0
    hours: int = 0
    tips: int = 0
    partials: int = 0
    speed: SpeedStatus = "nothing new"
    causes: Counter[str] = field(default_factory=Counter)
    unexplained: int = 0
    facts: list[Fact] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "span": to_iso(self.span, "minutes"),
            **{name: getattr(self, name) for name in _COUNTERS},
            "speed": self.speed,
            "causes": dict(sorted((+self.causes).items())),
            "unexplained": self.unexplained,
            "rows": len(self.facts),
            "findings": len(self.findings),
        }


@dataclass(slots=True)
class VerifiedMetric:
    """What was found of one metric.

    Attributes:
        closed: How many spans of the range a replay has counted.
        refolded: Measures that the recount does not know: their own aggregate counts again.
        sketches: How its distinct counts and other sketches keep their bounds.
        windows: How many ready windows were compared.
        windows_left: How many were not, as not all of their hours were verified.
        window_findings: What was found of them.
        waits_for: Why the speed layer cannot be compared yet; None where it can.
    """

    metric: str
    id: str
    closed: int = 0
    refolded: tuple[str, ...] = ()
    spans: list[SpanReport] = field(default_factory=list)
    sketches: SketchMisses = field(default_factory=SketchMisses)
    windows: int = 0
    windows_left: int = 0
    window_findings: list[Finding] = field(default_factory=list)
    waits_for: str | None = None

    @property
    def findings(self) -> list[Finding]:
        """Of all spans and windows, and of sketches if too many are outside of their bounds."""
        findings = [finding for span in self.spans for finding in span.findings]
        findings += self.window_findings
        return findings if self.sketches.are_plausible else findings + self.sketches.outside

    @property
    def causes(self) -> Counter[str]:
        """Events by cause, of all spans."""
        return sum((span.causes for span in self.spans), Counter())

    def total(self, counter: str) -> int:
        """The sum over all spans of one of their numbers, such as `events` or `tips`."""
        return sum(getattr(span, counter) for span in self.spans)

    @property
    def is_compared(self) -> bool:
        """Whether the speed layer could be compared in any span."""
        return any(span.speed == "compared" for span in self.spans)

    def errors(self) -> dict[str, dict[str, object]]:
        """Per measure, how far the speed layer was off before it was corrected."""
        measures: dict[str, list[Fact]] = {}
        for span in self.spans:
            for fact in span.facts:
                measures.setdefault(fact.measure, []).append(fact)
        return {name: _summary(facts) for name, facts in measures.items()}

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        findings = self.findings
        return {
            "metric": self.metric,
            "definition": self.id,
            "closed": self.closed,
            "verified": len(self.spans),
            **{name: self.total(name) for name in _COUNTERS},
            "waits_for": self.waits_for,
            "windows": {"compared": self.windows, "left": self.windows_left},
            "causes": dict(sorted((+self.causes).items())),
            "unexplained": len(findings),
            "errors": self.errors(),
            "refolded": list(self.refolded),
            "sketches": {"compared": self.sketches.compared, "outside": len(self.sketches.outside)},
            "findings": [finding.as_dict() for finding in findings[:_SHOWN_FINDINGS]],
            "spans": [span.as_dict() for span in self.spans],
        }


@dataclass(frozen=True, slots=True)
class VerifyProgress:
    """How far a verification of one source is.

    Attributes:
        spans: Hours that are done, of `total_spans`; None while the archive is looked at.
        events: That are done, once for each metric.
    """

    source: str
    spans: int = 0
    total_spans: int | None = None
    events: int = 0
    total_events: int | None = None


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What `verify` found.

    Attributes:
        is_stored: Whether the errors were stored.
    """

    metrics: tuple[VerifiedMetric, ...]
    is_stored: bool = False
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """0 all agrees or is explained, 3 something is not, 4 a metric could not be compared."""
        if any(metric.findings for metric in self.metrics):
            return UNEXPLAINED
        is_compared = self.metrics and all(metric.is_compared for metric in self.metrics)
        return AGREES if is_compared else INCOMPARABLE

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "exit_code": self.exit_code,
            "stored": self.is_stored,
            "seconds": round(self.seconds, 3),
            "metrics": [metric.as_dict() for metric in self.metrics],
        }


def _summary(facts: list[Fact]) -> dict[str, object]:
    errors = [fact.error for fact in facts]
    causes = Counter(fact.cause for fact in facts)
    return {
        "rows": len(facts),
        "wrong": len(facts) - causes["none"],
        "mean_error": _plain(sum(errors) / len(errors)),
        "max_error": _plain(max(errors)),
        "numbers": all(fact.is_number for fact in facts),
        "causes": dict(sorted(causes.items())),
    }


def _plain(value: object) -> object:
    """For JSON, and as people write it: no fraction, no type of Python's."""
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Fraction):
        return int(value) if value.denominator == 1 else _plain(value.numerator / value.denominator)
    if isinstance(value, float):
        return value if isfinite(value) else str(value)
    return value if isinstance(value, int | str | None) else str(value)
