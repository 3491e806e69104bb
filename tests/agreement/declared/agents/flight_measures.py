"""Departures from New York, by measures whose answers everybody knows who learned R."""

from fastdata import Count, Histogram, Metric, Quantiles, Ratio, Source, StdDev, Sum, TopK

flights = Source(
    "flights",
    topic="flights",
    schema="schemas/flight.avsc",
    time="scheduled_departure",
    id="flight_id",
    lateness="24h",
)
delays = Metric(
    "delays",
    flights,
    by=["origin"],
    measures={
        "flights": Count(),
        "departed": Count("dep_delay"),
        "distance": Sum("distance"),
        "cancelled": Sum("CASE WHEN dep_delay IS NULL THEN 1 ELSE 0 END"),
        "share": Ratio("cancelled", "flights"),
        "spread": StdDev("dep_delay"),
        "quartiles": Quantiles("dep_delay", at=(0, 0.25, 0.5, 0.75, 1)),
        "late": Histogram("dep_delay", edges=[0, 60]),
        "carriers": TopK("carrier", k=5),
    },
)
