"""A metric that was declared when there were visits already."""

from pathlib import Path

from fastdata import Count, Metric, load

visits = load(Path(__file__).with_name("visits.py")).visits
ages = Metric(
    "ages",
    visits,
    by={"decade": "user.age / 10"},
    measures={"visits": Count()},
)
