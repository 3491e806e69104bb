"""Made-up clicks that come late, twice, from the future, and broken."""

from fastdata import Count, Max, Mean, Metric, Source, Sum, Uniques

clicks = Source(
    "clicks",
    topic="clicks",
    schema="schemas/click.avsc",
    time="at",
    id="click",
    lateness="2h",
    skew="5m",
    segment_size=100,
    repeat_horizon=300,
)
visits = Metric(
    "visits",
    clicks,
    by=["place"],
    measures={
        "clicks": Count(),
        "amount": Sum("amount"),
        "seconds": Sum("seconds"),
        "mean_seconds": Mean("seconds"),
        "largest": Max("amount"),
        "users": Uniques("user"),
    },
)
