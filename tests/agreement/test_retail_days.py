"""541,909 lines of invoices through agents/retail.py: each day is right to the thousandth."""

import csv
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pytest

from fastdata import load
from fastdata.archive.avro_file import Records, build_object
from fastdata.batch.columnar.engine import is_columnar
from fastdata.batch.engine import fold_job
from fastdata.batch.job import Engine, Job, Piece
from fastdata.batch.plan import index_hours, make_groups
from fastdata.coordinates.instants import DAY_MS, HOUR_MS, floor_to, parse_instant
from fastdata.declare.metric import Metric
from fastdata.events.schema import encode
from tests.agreement import sets

pytestmark = pytest.mark.nightly

AGENT = Path(__file__).parents[2] / "agents" / "retail.py"
SEGMENT = 10_000
Day = tuple[int, int, int, int, Decimal]  # lines, invoices, customers, quantity, revenue


@pytest.fixture(scope="module")
def metric() -> Metric:
    found = load(AGENT).revenue
    assert isinstance(found, Metric)
    return found


@pytest.fixture(scope="module")
def records(metric: Metric) -> list[Records]:
    """One object of the archive for each segment."""
    found: list[Records] = []
    for number, line in enumerate(sets.read_retail()):
        if number % SEGMENT == 0:
            found.append(Records(metric.source.schema.canonical, 1))
        event = {
            "line_id": line["line"],
            "invoiced_at": line["sold"],
            **{n: line[n] for n in ("invoice", "article", "country", "customer", "quantity")},
            "unit_price": line["unit_price"],
        }
        found[-1].offsets.append(number)
        found[-1].datums.append(encode(metric.source.schema, event)[5:])
        found[-1].hours[floor_to(int(str(line["sold"])), HOUR_MS)] += 1
    return found


def days(metric: Metric, records: Sequence[Records], engine: Engine) -> dict[int, Day]:
    built = [build_object(f"{n}", 0, each) for n, each in enumerate(records)]
    hours = index_hours([entry for entry, _ in built])
    totals: dict[int, list[object]] = {}
    for group in make_groups(hours, hours, 100_000):
        pieces = []
        for index in group.objects:
            place = 0, index, records[index].schema
            rows = list(zip(records[index].offsets, records[index].datums, strict=True))
            data = built[index][1]
            pieces.append(Piece(*place, rows) if engine == "rows" else Piece(*place, data=data))
        job = Job(group.spans, dict.fromkeys(group.spans, (0,)), pieces, engine)
        for rows_of_span in fold_job([metric], job).totals.values():
            for window, _, blob in rows_of_span:
                state = totals.setdefault(floor_to(window, DAY_MS), metric.zero(exact=True))
                metric.merge(state, metric.load(blob))
    names = ("lines", "invoices", "customers", "quantity", "revenue")
    found = {}
    for day, state in totals.items():
        answers = dict(zip(metric.folded, metric.estimate(state), strict=True))
        assert all(answers[name].is_exact for name in names)
        found[day] = tuple(answers[name].value for name in names)
    return found  # type: ignore[return-value]


@pytest.mark.parametrize("engine", ["rows", "columns"])
def test_each_day_is_that_of_a_plain_count(
    metric: Metric, records: Sequence[Records], engine: Engine
) -> None:
    with sets.find("oracle/online_retail_daily.csv").open(newline="") as lines:
        expected = {
            parse_instant(row["day"]): (
                int(row["lines"]),
                int(row["invoices"]),
                int(row["customers"]),
                int(row["qty"]),
                Decimal(row["revenue_milli_gbp"]).scaleb(-3),
            )
            for row in csv.DictReader(lines)
        }

    found = days(metric, records, engine)

    assert is_columnar(metric, [metric.source.schema.canonical])
    assert found == expected
    assert sum(day[4] for day in found.values()) == Decimal("9747747.934")
