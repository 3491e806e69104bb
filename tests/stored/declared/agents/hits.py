"""Hits of a web site: lines of text, of which Kafka has deleted some before they were folded."""

from fastdata import Count, Metric, Source

hits = Source(
    "hits",
    topic="hits",
    schema="schemas/hit.avsc",
    time="at",
    format="text",
    pattern=r"(?P<path>/\S*) (?P<status>\d{3})",
    segment_size=5,
)
paths = Metric("paths", hits, by=["path"], measures={"hits": Count()}, where="status < 400")
