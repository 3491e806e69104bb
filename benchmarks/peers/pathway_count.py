"""Pathway: a tumbling count, or more measures, by key and minute, to a topic. No persistence.

It counts in one go what is in the topic; its clock starts when it does, since it reads ahead.
"""

from typing import Any

import pathway as pw
from given import begin, decode, finish, given

REDUCERS = {
    "sum": pw.reducers.sum,
    "mean": pw.reducers.avg,
    "max": pw.reducers.max,
    "distinct": pw.reducers.count_distinct_approximate,
}
measures = [(f"{kind}_{name}", kind, name) for kind, name in given["measures"]]
types = {name: str if kind == "distinct" else int for name, kind, _ in measures}


@pw.udf(deterministic=True, return_type=tuple)
def event_of(value: bytes) -> tuple[Any, ...]:
    """The time of an event, and what is measured of it; what is missing is a zero."""
    event = decode(value)
    fields = (event[field] or types[name]() for name, _, field in measures)
    return int(event[given["time"]].timestamp() * 1_000), *fields


settings = {
    "bootstrap.servers": given["servers"],
    "group.id": given["group"],
    "auto.offset.reset": "earliest",
}
messages = pw.io.kafka.read(settings, given["topic"], format="raw", mode="static")
columns = pw.schema_from_types(at=int, **types)
events = pw.utils.col.unpack_col(
    messages.select(event=event_of(messages.data)).event, schema=columns
)
events = events.with_columns(name=messages.key)
windows = events.windowby(
    events.at, window=pw.temporal.tumbling(duration=60_000), instance=events.name
)
answers = windows.reduce(
    key=pw.this._pw_instance,
    start=pw.this._pw_window_start,
    value=pw.reducers.count(),
    **{name: REDUCERS[kind](pw.this[name]) for name, kind, _ in measures},
)
answers = answers.with_columns(key=pw.apply_with_type(bytes.decode, str, answers.key))
pw.io.kafka.write(answers, settings, given["out"], format="json")
begin()
pw.run(monitoring_level=pw.MonitoringLevel.NONE)
finish()
