"""The measure that the documentation shows how to write is one."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastdata import Estimate, Metric
from fastdata.answer.query import query
from fastdata.coordinates.segments import Coverage
from fastdata.errors import CorruptStateError, DeclarationError, MapError
from fastdata.events.fieldtypes import FieldType
from fastdata.store.memory import MemoryStore
from fastdata.store.protocol import Flip, Partial, Total
from fastdata.testing.laws import fold
from tests.answer.trips import NOON, ONE, TWO, declare_source, progress

PAGE = Path(__file__).parents[2] / "docs" / "measures.md"


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """What the two blocks of the section define."""
    section = PAGE.read_text().partition("## A measure of your own")[2]
    names: dict[str, Any] = {"__name__": "weighted"}
    for block in re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL):
        exec(compile(block, PAGE.name, "exec"), names)
    return names


def test_it_keeps_the_laws(page: dict[str, Any]) -> None:
    keeps: Callable[[], None] = page["test_a_weighted_mean_keeps_the_laws"]
    keeps()


def test_it_answers_and_refuses_as_it_says(page: dict[str, Any]) -> None:
    integer = FieldType("int")
    measure = page["WeightedMean"]("price", "quantity")
    mean = measure.bind(integer, integer)

    assert Estimate.exact(2.5) == mean.present(fold(mean, [(1, 1), (3, 3)]))
    assert Estimate.exact(None) == mean.present(fold(mean, [(1, 0)]))
    assert Estimate(2.5, None, None) == mean.widen(Estimate.exact(2.5), 1)
    with pytest.raises(DeclarationError):
        measure.bind(integer, FieldType("float"))
    with pytest.raises(MapError, match="field 'quantity' holds"):
        mean.add(mean.zero(), (1, True))
    for data in (b"", b"[1]", b"[1, null]", b"7"):
        with pytest.raises(CorruptStateError):
            mean.load(data)


async def test_it_goes_through_a_store_into_an_answer(page: dict[str, Any], tmp_path: Path) -> None:
    measure = page["WeightedMean"]("km", "line")
    metric = Metric("weighted", declare_source(tmp_path), measures={"mean": measure})

    def folded(exact: bool, *trips: tuple[int | None, int]) -> bytes:
        states = metric.zero(exact)
        for km, line in trips:
            metric.add(states, {"km": km, "line": line})
        return metric.dump(states)

    async with MemoryStore() as store:
        await store.write_totals(metric.id, 1, {NOON: [Total(NOON, "[]", folded(True, (5, 1)))]})
        await store.publish(metric.id, [Flip(NOON, None, 1, Coverage({0: 3}), 1)])
        new = folded(False, (None, 9), (11, 2))
        await store.upsert([Partial(metric.id, ONE, "[]", 0, 3, 302, new)], [progress(TWO)])
        whole = await query(metric, every="all", store=store)
        hours = await query(metric, every="1h", store=store)

    assert [9.0] == whole["mean"].to_pylist() == whole["mean_upper"].to_pylist()
    assert [5.0, 11.0] == hours["mean"].to_pylist()
    assert [True, False] == hours["exact"].to_pylist()
