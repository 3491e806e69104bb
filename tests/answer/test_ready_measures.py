"""Measures of rolling days whose answers are more than what is stored of them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pyarrow as pa

from fastdata import Count, Estimate, Frequency, Seen, TopK
from fastdata.answer.query import query
from fastdata.coordinates.calendar import Grain
from fastdata.coordinates.instants import DAY_MS, HOUR_MS
from fastdata.declare.metric import Measure, Metric
from fastdata.events.fieldtypes import FieldType
from fastdata.measures.presented import NO_ESTIMATES
from tests.answer.watched import Watched
from tests.batch.visits import Visits, local_ms

BERLIN = "Europe/Berlin"


async def test_an_item_is_asked_about_where_only_estimates_are_stored(tmp_path: Path) -> None:
    world, store = Visits(tmp_path, ("30d",), by=()), Watched()
    measures: dict[str, Measure] = {
        "of": Frequency("visitor"),
        "saw": Seen("visitor"),
        "top": TopK("visitor", k=2),
    }
    metrics = [
        Metric("pages", world.source, (), measures, rollups=rollups, zone=BERLIN)
        for rollups in (("30d",), ())
    ]
    world.metric, plain = metrics
    start = local_ms("2024-05-01", BERLIN)
    await world.archive((start + n * HOUR_MS, "a", n % 300) for n in range(40 * 24))
    await world.replay(store)

    for items in ({"of": 7, "saw": 7}, {"saw": 1_000}, {}):
        options = {"every": "day", "rolling": "30d", "items": items, "store": store}
        ready = await query(world.metric, **options)  # type: ignore[arg-type]
        assert store.totals == [0]
        assert ready.equals(await query(plain, **options))  # type: ignore[arg-type]
        store.totals.clear()


@dataclass(frozen=True)
class Everyone:
    """All values, and which of them is the largest, as no other measure presents them."""

    field: str
    code = 128
    kind = "other"

    @property
    def arguments(self) -> tuple[str, ...]:
        return (self.field,)

    def bind(self, *types: FieldType) -> "Everyone":
        return self

    def arrow_type(self) -> pa.DataType:
        return pa.struct({"all": pa.list_(pa.int64()), "most": pa.int64()})

    def zero(self, exact: bool = False) -> frozenset[int]:
        return frozenset()

    def add(self, state: frozenset[int], value: int) -> frozenset[int]:
        return state | {value}

    def merge(self, state: frozenset[int], other: frozenset[int]) -> frozenset[int]:
        return state | other

    def present(self, state: frozenset[int]) -> Estimate:
        value: Any = {"all": sorted(state), "most": max(state, default=None)}
        return Estimate.exact(value)

    def widen(self, estimate: Estimate, events: int) -> Estimate:
        return estimate

    def dump(self, state: frozenset[int]) -> bytes:
        return json.dumps(sorted(state)).encode()

    def load(self, data: bytes) -> frozenset[int]:
        return frozenset(json.loads(data))


async def test_what_cannot_be_stored_as_estimates_is_merged_of_days(tmp_path: Path) -> None:
    world, store = Visits(tmp_path, ("3d",), segment_size=1_000), Watched()
    measures = {"visits": Count(), "visitors": cast("Measure", Everyone("visitor"))}
    world.metric, plain = [
        Metric("pages", world.source, ["page"], measures, rollups=rollups, zone=BERLIN)
        for rollups in (("3d",), ())
    ]
    start = local_ms("2024-05-01", BERLIN)
    # States of "a" are large, of some days, and those of "b" small.
    for day, many in enumerate((1_500, 10, 1_500, 10, 10, 10)):
        first = start + day * DAY_MS
        visits = [(first + n * 50_000, "a", 1_000_000 + day * 700 + n) for n in range(many)]
        await world.archive([*visits, (first + DAY_MS - 1, "b", day)])

    await world.replay(store)

    rows = await world.kept(store, Grain("day", 3))
    stored = [state for of_window in rows.values() for state in of_window.values()]
    assert [NO_ESTIMATES] * 2 * 5 == stored
    for by in ("page", ()):
        options = {"by": by, "every": "day", "rolling": "3d", "store": store}
        ready = await query(world.metric, **options)  # type: ignore[arg-type]
        assert store.totals.pop() == 0
        assert ready.equals(await query(plain, **options))  # type: ignore[arg-type]
        assert ready.num_rows > 6
