"""Readings of sensors: values of JSON, in segments so small that the manifest has a checkpoint."""

from fastdata import Count, Max, Metric, Source, Sum

readings = Source(
    "readings",
    topic="readings",
    schema="schemas/reading.avsc",
    time="at",
    format="json",
    segment_size=2,
)


@readings.map
def doubled(reading: dict[str, object]) -> dict[str, object] | None:
    """Drop the sensor of tests, and double the levels of another."""
    if reading["sensor"] == "test":
        return None
    if reading["sensor"] == "s2" and isinstance(reading["level"], int):
        reading["level"] *= 2
    return reading


levels = Metric(
    "levels",
    readings,
    by=["sensor"],
    measures={"readings": Count(), "level": Sum("level"), "highest": Max("level")},
    rollups=["day"],
)
