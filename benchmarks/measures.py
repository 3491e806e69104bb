"""What each measure costs: its error, the bytes of its states, time to add and to merge.

python benchmarks/measures.py            prints the table
python benchmarks/measures.py --write    puts it into docs/measures.md

Values are all different, but those of `TopK`, which are as skewed as popular pages are.
"""

import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count, islice
from pathlib import Path

from fastdata import (
    Count,
    First,
    Frequency,
    Funnel,
    Histogram,
    Last,
    Max,
    Mean,
    Min,
    Quantiles,
    Rate,
    Ratio,
    Seen,
    Sequences,
    Sessions,
    Sets,
    StdDev,
    Sum,
    TopK,
    Uniques,
    Variance,
)
from fastdata.declare.metric import Measure
from fastdata.events.fieldtypes import FieldType
from fastdata.measures.aggregate import Aggregate
from fastdata.measures.ratios import Derived
from fastdata.testing.laws import fold

PAGE = Path(__file__).parents[1] / "docs" / "measures.md"
BEGIN, END = "<!-- written by benchmarks/measures.py -->", "<!-- to here -->"
SIZES = (1, 100, 10_000, 1_000_000)
TIMED_VALUES, REPEATS = 20_000, 7

INT, FLOAT, STRING = FieldType("int"), FieldType("float"), FieldType("string")


@dataclass(frozen=True)
class Case:
    """A measure, the values that it is measured with, and what it promises."""

    measure: Measure | Derived
    values: Callable[[], Iterator[object]]
    error: str
    type: FieldType = FLOAT

    def bound(self) -> Aggregate | None:
        """The aggregate; None of a derived measure, which has no states."""
        measure = self.measure
        if isinstance(measure, Derived):
            return None
        return measure.bind(*[self.type for _ in measure.arguments])


def names() -> Iterator[object]:
    """Different strings of 16 characters."""
    number = 0
    while True:
        yield f"visitor-{number:08}"
        number += 1


def numbers() -> Iterator[object]:
    """Different floats, in no order."""
    chance = random.Random(7)
    while True:
        yield chance.lognormvariate(4, 1)


def integers() -> Iterator[object]:
    """Different integers, in no order."""
    chance = random.Random(7)
    while True:
        yield chance.getrandbits(40)


def pages() -> Iterator[object]:
    """Strings of which few are frequent and very many rare."""
    chance = random.Random(7)
    while True:
        yield f"/page/{int(chance.paretovariate(0.8)) % 10**9:09}"


def with_time() -> Iterator[object]:
    """Pairs of a value and its event time."""
    return ((value, 1_700_000_000_000 + n) for n, value in enumerate(numbers()))


def visits() -> Iterator[object]:
    """A hundred users, each with an event in some ten minutes, and with times."""
    chance = random.Random(7)
    first = 1_700_000_000_000
    return ((f"visitor-{chance.randrange(100):08}", first + 6_000 * number) for number in count())


def steps() -> Iterator[object]:
    """The same, of whom each event is one of three steps."""
    return (
        (("abc"[number % 3], visitor), time)
        for number, (visitor, time) in enumerate(visits())  # type: ignore[misc]
    )


CASES = [
    Case(Count(), numbers, "exact"),
    Case(Sum("x"), integers, "exact", INT),
    Case(Sum("x"), numbers, "exact, rounded once"),
    Case(Mean("x"), numbers, "exact, rounded once"),
    Case(Variance("x"), numbers, "exact, rounded once"),
    Case(StdDev("x"), numbers, "exact, rounded once"),
    Case(Min("x"), numbers, "exact"),
    Case(Max("x"), numbers, "exact"),
    Case(First("x"), with_time, "exact"),
    Case(Last("x"), with_time, "exact"),
    Case(Sessions("x"), visits, "exact", STRING),
    Case(Sequences("x", [*"abc"], by="y", within="10m"), steps, "exact", STRING),
    Case(Funnel("x", [*"abc"], by="y", within="10m"), steps, "exact", STRING),
    Case(Histogram("x", edges=[10, 20, 50, 100, 200, 500, 1_000]), numbers, "exact"),
    Case(Ratio("a", "b"), numbers, "that of its parts"),
    Case(Rate("a"), numbers, "that of its part"),
    Case(Uniques("x"), names, "5 %, confidence 0.997; below 385 practically exact", STRING),
    Case(
        TopK("x"),
        pages,
        "counts too large by at most 0.34 % of all, surely; up to 768 items exact",
        STRING,
    ),
    Case(
        Frequency("x"),
        names,
        "too large by at most 0.1 % of all, confidence 0.99; up to 512 items exact",
        STRING,
    ),
    Case(
        Quantiles("x"),
        numbers,
        "0.7 % of rank, confidence 0.99; up to 400 different values exact",
    ),
    Case(Sets("x"), names, "4.7 %, confidence 0.997; up to 4,096 practically exact", STRING),
    Case(
        Seen("x"),
        names,
        "1 % of what was never seen, up to 10,000 different values; up to 187 exact",
        STRING,
    ),
]


def sizes(case: Case, exact: bool, numbers_of_values: Sequence[int] = SIZES) -> list[int]:
    """Bytes of the states of so many values as they are stored, without the envelope."""
    aggregate = case.bound()
    if aggregate is None:
        return [0 for _ in numbers_of_values]
    found = []
    for number in numbers_of_values:
        state = fold(aggregate, islice(case.values(), number), exact)
        found.append(len(aggregate.dump(state)))
    return found


def ns_to_add(aggregate: Aggregate, case: Case) -> float:
    """Of one value to a state of the speed layer that has seen thousands."""
    values = list(islice(case.values(), 2 * TIMED_VALUES))
    took = []
    for _ in range(REPEATS):
        state = fold(aggregate, values[:TIMED_VALUES])
        began = time.thread_time_ns()
        for value in values[TIMED_VALUES:]:
            state = aggregate.add(state, value)
        took.append((time.thread_time_ns() - began) / TIMED_VALUES)
    return statistics.median(took)


def us_to_merge(aggregate: Aggregate, case: Case) -> float:
    """To load a stored state of the speed layer and to merge it, as queries do: 10,000 values."""
    values = list(islice(case.values(), 20_000))
    one, other = (
        aggregate.dump(fold(aggregate, half)) for half in (values[:10_000], values[10_000:])
    )
    took = []
    for _ in range(5 * REPEATS):
        state = aggregate.merge(aggregate.load(one), aggregate.zero())
        began = time.thread_time_ns()
        aggregate.merge(state, aggregate.load(other))
        took.append((time.thread_time_ns() - began) / 1_000)
    return statistics.median(took)


def title(case: Case) -> str:
    """A measure as one declares it, with what it measures where that matters."""
    text = repr(case.measure).replace("'", '"')
    name = text.partition("(")[0]
    kind = {"Sum": f" of {case.type.kind}s"}.get(name, "")
    return f"`{name}`{kind}"


def row(case: Case) -> str:
    """One line of the table."""
    aggregate = case.bound()
    if aggregate is None:
        return f"| {title(case)} | {case.error} | none | none | | |"
    layers = [" · ".join(f"{size:,}" for size in sizes(case, exact)) for exact in (False, True)]
    if layers[0] == layers[1]:
        layers[1] = "the same"
    add, merge = ns_to_add(aggregate, case), us_to_merge(aggregate, case)
    return (
        f"| {title(case)} | {case.error} | {layers[0]} | {layers[1]} | {add:,.0f} | {merge:,.1f} |"
    )


def machine() -> str:
    """What the times were taken on."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    model = models[0] if models else platform.machine()
    return f"Python {platform.python_version()}, {os.cpu_count()} cores of {model}"


def table() -> Iterator[str]:
    """The lines of the table, with what is said about it."""
    today = datetime.now(UTC).date().isoformat()
    on = f"{machine()}, {today}"
    yield f"Times are of the processor, medians, {on}: compare them with each other."
    yield ""
    yield (
        "| measure | error | bytes, speed layer: 1 · 100 · 10,000 · 1,000,000 values "
        "| bytes, batch | ns to add | µs to load and merge |"
    )
    yield "|---|---|---|---|---|---|"
    for case in CASES:
        line = row(case)
        print(line, file=sys.stderr)
        yield line


def main() -> None:
    """Print the table, or write it."""
    lines = "\n".join(table())
    if "--write" not in sys.argv[1:]:
        print(lines)
        return
    before, _, rest = PAGE.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n{lines}\n{END}{after}")


if __name__ == "__main__":
    main()
