"""Edits of Wikipedia."""

from fastdata import Count, Max, Mean, Metric, Min, Source, Sum, Uniques

wikipedia = Source(
    "wikipedia",
    topic="wikipedia",
    schema="schemas/edit.avsc",
    time="time",
    id="edit",
    segment_size=1_000,
)
edits = Metric(
    "edits",
    wikipedia,
    by=["channel", "is_robot", "country"],
    measures={
        "edits": Count(),
        "added": Sum("added"),
        "deleted": Sum("deleted"),
        "mean_delta": Mean("delta"),
        "least": Min("delta"),
        "largest": Max("delta"),
        "metro_codes": Count("metro_code"),
        "users": Uniques("user"),
    },
)
pages = Metric("pages", wikipedia, by=["page"])
