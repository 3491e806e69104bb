"""A replay of an archive of version 0.1.0 counts what that version counted, to the byte."""

from collections.abc import Mapping, Sequence

import pytest

from fastdata.batch.job import Engine
from fastdata.batch.replay import replay
from fastdata.coordinates.calendar import Grain
from fastdata.declare.metric import Metric
from fastdata.declare.unfolded import unfolded_of
from fastdata.measures.envelope import unpack
from fastdata.store.memory import MemoryStore
from fastdata.store.opening import open_store
from fastdata.store.protocol import ServingStore
from fastdata.store.rollups import DAY, rollup_id
from tests.stored.written import Written, declared

EVER = (-(1 << 50), 1 << 50)
# Whose bytes order or chance decide once they are large; `codes` alone has them so.
CHANCE = {"top", "top_names", "top_by_code", "quantiles"}

Cell = tuple[str, int, str]
States = Mapping[Cell, list[bytes]]


@pytest.mark.parametrize(
    ("engine", "names"),
    [
        ("rows", ["kinds", "places", "codes", "ages", "levels", "paths"]),
        ("columns", ["kinds", "places", "codes", "ages"]),
    ],
)
async def test_totals_are_the_same_bytes(
    written: Written, engine: Engine, names: list[str]
) -> None:
    archive, new = written.archive(), MemoryStore()
    metrics = [declared().metrics[name] for name in names]
    async with open_store(written.store()) as old:
        await begin_as(old, new, metrics)
        report = await replay(
            metrics, store=new, archive=archive, workers=0, engine=engine, resume=True
        )
        for metric in metrics:
            stored = await totals(old, metric)
            assert stored == await totals(new, metric), metric.id
            assert stored
    # All hours and days were kept already.
    assert not archive.created
    assert [name for name in archive.read if "/days/" in name]
    assert not any(metric.rollups_left for metric in report.metrics)


async def begin_as(old: ServingStore, new: ServingStore, metrics: Sequence[Metric]) -> None:
    """Begin the runs that the old store has done, at their coverage, to be resumed."""
    for metric in metrics:
        run = await old.last_run(metric.id)
        assert run is not None
        await new.open_run(metric.id, run.start, run.end, run.coverage)


async def totals(store: ServingStore, metric: Metric) -> States:
    """What readers see of a metric and of its ready windows, but for what chance decides."""
    seen: dict[Cell, list[bytes]] = {}
    for grain in (None, *metric.rollups):
        # Rolling days were states then, and small states of days had no place of their own.
        if grain is None or grain.rolling == 1:
            for id in ids_of(metric, grain):
                unfolded, topic = unfolded_of(metric.source).id, metric.source.topic
                reading = await store.read(id, unfolded, topic, *EVER)
                for total in reading.totals:
                    codes = [aggregate.code for aggregate in metric.aggregates]
                    pairs = zip(metric.folded, unpack(total.state, codes), strict=True)
                    left_out = CHANCE if metric.name == "codes" else set()
                    kept = [part for label, part in pairs if label not in left_out]
                    seen[str(grain), total.window, total.dims] = kept
    return seen


def ids_of(metric: Metric, grain: Grain | None) -> list[str]:
    if grain is None:
        return [metric.id]
    kinds = [False, True] if grain == DAY else [False]
    return [rollup_id(metric.id, grain, metric.calendar.zone, is_small) for is_small in kinds]
