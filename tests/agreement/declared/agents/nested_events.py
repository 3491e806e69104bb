"""Public events of GitHub as they are: records in records, and the commits of a push."""

from fastdata import Count, First, Metric, Quantiles, Source, Sum, TopK, Uniques

github = Source(
    "github",
    topic="github",
    schema="schemas/nested_event.avsc",
    time="created_at",
    id="id",
    segment_size=500,
)
events = Metric(
    "events",
    github,
    by={"type": "REPLACE(type, 'Event', '')", "for_org": "org.login IS NOT NULL"},
    measures={
        "events": Count(),
        "commits": Sum("COALESCE(payload.size, 0)"),
        "sizes": Quantiles("payload.size", at=(0.5, 0.9, 1)),
        "first": First("actor.login"),
        "actors": Uniques("actor.id"),
        "repositories": TopK("repo.name", k=3),
    },
)
commits = Metric(
    "commits",
    github,
    by={"is_distinct": "unnest(payload.commits).distinct"},
    where="NOT unnest(payload.commits).message LIKE 'Merge %'",
    measures={
        "commits": Count(),
        "authors": Uniques("LOWER(unnest(payload.commits).author.email)"),
        "length": Sum("LENGTH(unnest(payload.commits).message)"),
    },
)
