"""Readings of devices, with every measure that is exact."""

from decimal import Decimal

from fastdata import (
    Count,
    First,
    Funnel,
    Histogram,
    Last,
    Max,
    Mean,
    Metric,
    Min,
    Rate,
    Ratio,
    Sequences,
    Sessions,
    Source,
    StdDev,
    Sum,
    Variance,
)

# A measure of your own

readings = Source(
    "readings",
    topic="readings",
    schema="schemas/reading.avsc",
    time="at",
    id="reading",
    lateness="7d",
    segment_size=100,
)
devices = Metric(
    "devices",
    readings,
    by=["device"],
    measures={
        "events": Count(),
        "failing": Ratio("errors", "events"),
        "errors": Count("error"),
        "amount": Sum("amount"),
        "mean": Mean("value"),
        "variance": Variance("value"),
        "spread": StdDev("price", population=True),
        "least": Min("price"),
        "latest": Max("at"),
        "first": First("value"),
        "first_error": First("error"),
        "last": Last("price"),
        "is_open": Last("is_open"),
        "values": Histogram("value", edges=[-1, 0, 2.5]),
        "prices": Histogram("price", edges=[Decimal("0.10"), 5]),
        "each": Ratio("amount", "events"),
        "per_second": Rate("amount"),
        # "weighted"
    },
)
habits = Metric(
    "habits",
    readings,
    by=["is_open"],
    measures={
        "events": Count(),
        "sessions": Sessions("device", gap="6s"),
        "seconds": Sessions("device", gap="6s", answer="seconds"),
        "seconds_each": Ratio("seconds", "sessions"),
        "failing": Sequences("error", ["timeout", "no route"], by="device", within="30s"),
        "funnel": Funnel("error", ["timeout", "no route", "timeout"], by="device", within="1m"),
    },
)
