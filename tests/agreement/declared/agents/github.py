"""Public events of GitHub."""

from fastdata import Count, Metric, Min, Source, Sum, Uniques

github = Source(
    "github",
    topic="github",
    schema="schemas/github_event.avsc",
    time="created",
    id="event",
    segment_size=500,
)
activity = Metric(
    "activity",
    github,
    by=["type", "org"],
    measures={
        "events": Count(),
        "commits": Sum("commits"),
        "least": Min("commits"),
        "first": Min("created"),
        "actors": Uniques("actor"),
        "repositories": Uniques("repository"),
    },
)
