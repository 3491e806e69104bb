"""Edits of Wikipedia, by every measure that is not a plain sum."""

from fastdata import (
    Count,
    First,
    Frequency,
    Histogram,
    Last,
    Metric,
    Quantiles,
    Rate,
    Ratio,
    Seen,
    Sets,
    Source,
    StdDev,
    Sum,
    TopK,
    Uniques,
    Variance,
)

wikipedia = Source(
    "wikipedia",
    topic="wikipedia",
    schema="schemas/edit.avsc",
    time="time",
    id="edit",
    segment_size=5_000,
)
edits = Metric(
    "edits",
    wikipedia,
    by={"by": "CASE WHEN is_robot THEN 'robots' ELSE 'people' END"},
    measures={
        "edits": Count(),
        "added": Sum("added"),
        "deleted": Sum("deleted"),
        "per_edit": Ratio("added", "edits"),
        "per_second": Rate("edits"),
        "variance": Variance("delta"),
        "spread": StdDev("delta", population=True),
        "first": First("page"),
        "last": Last("page"),
        "sizes": Histogram("delta", edges=[-1_000, 0, 1, 1_000]),
        "shares": Quantiles("delta", at=(0.1, 0.5, 0.99)),
        "pages": TopK("page"),
        "writers": TopK("user", weight="added", k=5),
        "times": Frequency("page"),
        "met": Seen("user"),
        "names": Sets("user"),
        "users": Uniques("user"),
    },
)
