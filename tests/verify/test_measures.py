"""The recount knows every measure of ours, and finds a wrong one."""

import math
from decimal import Decimal
from pathlib import Path

import pytest

from fastdata import First, Histogram, Last, StdDev, Variance
from fastdata.declare.metric import Measure
from fastdata.events.fieldtypes import FieldType
from fastdata.store.memory import MemoryStore
from fastdata.testing.laws import fold
from fastdata.verify.plain import NOT_RECOUNTED, is_same, recount
from fastdata.verify.reports import AGREES
from fastdata.verify.verify import verify
from tests.agreement.readings import HOUR, START, deploy, readings
from tests.agreement.stages import send

FLOAT, MONEY = FieldType("float"), FieldType("decimal", scale=2)
NUMBERS = [1.5, -0.0, 1e16, -2.25]
ODD = [math.nan, math.inf, -math.inf]
TIMED = [(1.5, 7), (math.nan, 7), (-2.0, 9), (3.0, 9), (0.0, 7)]


async def test_both_layers_agree_with_the_recount_of_every_exact_measure(tmp_path: Path) -> None:
    deployment = deploy(tmp_path)
    loop = deployment.loop(
        send(deployment, readings(), key="reading", partitions=2, at=START + 6 * HOUR)
    )
    async with MemoryStore() as store:
        await loop.start(store)
        await loop.drain()
        loop.log.fill(100)
        await loop.drain()
        await loop.archive()
        await loop.replay()
        report = await verify(loop.metrics, store=store, archive=loop.archived)

    assert report.exit_code == AGREES
    assert [("weighted",), ()] == [metric.refolded for metric in report.metrics]
    for declared, metric in zip(loop.metrics, report.metrics, strict=True):
        assert sum(span.events for span in metric.spans) >= 1_200
        assert {0} == {error["wrong"] for error in metric.errors().values()}
        assert set(declared.folded) == set(metric.errors())


@pytest.mark.parametrize(
    ("measure", "type_", "values"),
    [
        *[
            (measure, FLOAT, NUMBERS[:n])
            for measure in (Variance("x"), StdDev("x"))
            for n in (0, 1, 4)
        ],
        (Variance("x"), FLOAT, [1.0, math.nan]),
        (Variance("x", population=True), FLOAT, [-1e300, 1e300]),
        (StdDev("x", population=True), MONEY, [Decimal("0.10"), Decimal("7.25")]),
        (First("x"), FLOAT, []),
        (First("x"), FLOAT, TIMED),
        (First("x"), FLOAT, TIMED[1:2]),
        (Last("x"), FLOAT, TIMED),
        (Last("x"), FLOAT, TIMED[:2]),
        (Histogram("x", edges=[-2.25, 0, 2]), FLOAT, NUMBERS + ODD),
    ],
)
def test_the_recount_says_what_the_aggregate_answers(
    measure: Measure, type_: FieldType, values: list[object]
) -> None:
    aggregate = measure.bind(type_)
    answer = aggregate.present(fold(aggregate, values)).value

    expected = recount(measure, [None, *values])
    assert expected is not NOT_RECOUNTED
    assert is_same(answer, expected)
