"""Times what a metric folds of an event: fields looked up by name, and compiled expressions.

    python benchmarks/expressions.py [EVENTS]

Both in turns in one process, so that the machine is the same for both.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from time import perf_counter

from fastdata import Count, Metric, Source, Sum
from fastdata.declare.metric import States

ROUNDS = 5
FIELDS = [
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "status", "type": "int"},
    {"name": "country", "type": ["null", "string"]},
    {"name": "device", "type": "string"},
    {"name": "bytes", "type": "long"},
    {"name": "quantity", "type": "int"},
    {"name": "price", "type": {"type": "bytes", "logicalType": "decimal",
                               "precision": 10, "scale": 2}},
]  # fmt: skip
Event = dict[str, object]


def by_name(metric: Metric) -> Callable[[Mapping[str, object], int], object]:
    """The rows of a plain metric without compiling: a loop over names."""
    arguments = [measure.arguments for measure in metric.folded.values()]

    def rows(fields: Mapping[str, object], time: int = 0) -> object:
        dims = tuple([fields[name] for name in metric.by])
        values = []
        for names in arguments:
            if len(names) == 1:
                values.append(fields[names[0]])
            else:
                several = tuple([fields[name] for name in names])
                values.append(None if None in several else several)
        return ((dims, (values,)),)

    return rows


def fold(metric: Metric, rows: Callable[..., object], events: list[Event]) -> float:
    """Seconds to fold the events by their dimensions."""
    cells: dict[object, States] = {}
    start = perf_counter()
    for event in events:
        for dims, several in rows(event, 0):  # type: ignore[attr-defined]
            states = cells.get(dims)
            if states is None:
                states = cells[dims] = metric.zero()
            for values in several:
                metric.add_values(states, values)
    return perf_counter() - start


def main(count: int) -> None:
    """Print events a second of each metric, the best of some rounds."""
    events: list[Event] = [
        {
            "at": n * 1000, "status": (200, 404, 500)[n % 3], "country": ("DE", "fr", None)[n % 3],
            "device": ("phone", "pc")[n % 2], "bytes": n, "quantity": n % 7,
            "price": Decimal(n % 1000) / 100,
        }
        for n in range(count)
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "request.avsc")
        path.write_text(json.dumps({"type": "record", "name": "Request", "fields": FIELDS}))
        source = Source("requests", topic="requests", schema=str(path), time="at")
        plain = Metric("plain", source, ["country", "device"], {"n": Count(), "b": Sum("bytes")})
        runs: list[tuple[str, Metric, Callable[..., object]]] = [
            ("fields, by name", plain, by_name(plain)),
            ("fields, compiled", plain, plain.rows),
        ]
        named = {"country": "coalesce(lower(country), 'unknown')", "device": "device"}
        others = {
            "where status < 400": Metric(
                "w", source, ["country", "device"], plain.folded, where="status < 400"
            ),
            "by a text function": Metric("t", source, named, plain.folded),
            "sum of a product": Metric("s", source, ["device"], {"n": Sum("quantity * price")}),
        }
        runs += [(name, metric, metric.rows) for name, metric in others.items()]
        best = dict.fromkeys([name for name, *_ in runs], float("inf"))
        for _ in range(ROUNDS):
            for name, metric, rows in runs:
                best[name] = min(best[name], fold(metric, rows, events))
    for name, seconds in best.items():
        print(f"{name:20} {count / seconds:12,.0f} events/s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000)
