"""A replay, from an archive to what readers see, on each store."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from fastdata.batch.reports import ReplayProgress
from fastdata.coordinates.instants import DAY_MS, HOUR_MS
from fastdata.coordinates.segments import Coverage
from fastdata.declare.unfolded import unfolded_of
from fastdata.errors import ReplayError, SpanConflictError, StoreUnavailableError
from fastdata.store.memory import MemoryStore
from fastdata.store.pace import Pace
from fastdata.store.protocol import Flip, Partial, ServingStore, SpanTotals
from tests.batch.sales import DAY, FIRST, LATER, SECOND, Sale, Sales, count


async def test_readers_see_what_a_plain_count_gives(sales: Sales, store: ServingStore) -> None:
    await sales.archive(FIRST)
    await sales.archive(SECOND, partition=1)

    report = await sales.replay(store)

    assert await sales.shown(store) == count({0: FIRST, 1: SECOND})
    metric = report.metrics[0]
    assert (metric.recomputed, metric.relabelled, metric.unchanged) == (3, 21, 0)
    assert (metric.events, metric.duplicates, metric.totals, metric.timeless) == (7, 2, 3, 1)
    assert metric.coverage == Coverage({0: 2, 1: 1})


async def test_offsets_that_were_never_archived_are_told(sales: Sales, store: ServingStore) -> None:
    await sales.archive(FIRST, log_start=6)
    await sales.archive(SECOND, partition=1)

    report = await sales.replay(store)

    assert report.metrics[0].lost == {0: [(0, 6)]}
    assert await sales.shown(store) == count({0: FIRST, 1: SECOND})


async def test_every_hour_of_the_range_gets_the_coverage_of_the_run(
    sales: Sales, store: ServingStore
) -> None:
    await sales.archive(FIRST)
    await sales.replay(store)
    await sales.archive(LATER)

    await sales.replay(store)

    heads = await sales.heads(store)
    assert sorted(heads) == list(range(24))
    assert {head.coverage.dump() for head in heads.values()} == {'{"0": 3}'}


async def test_a_second_replay_changes_nothing(sales: Sales, store: ServingStore) -> None:
    await sales.archive(FIRST)
    await sales.replay(store)
    heads, shown = await sales.heads(store), await sales.shown(store)

    report = await sales.replay(store)

    assert report.metrics[0].unchanged == 24
    assert report.metrics[0].run is None
    assert (await sales.heads(store), await sales.shown(store)) == (heads, shown)


async def test_only_hours_with_new_events_are_counted_again(
    sales: Sales, store: ServingStore
) -> None:
    await sales.archive(FIRST)
    await sales.replay(store)
    await sales.archive(LATER)

    report = await sales.replay(store)

    assert (report.metrics[0].recomputed, report.metrics[0].relabelled) == (2, 22)
    assert await sales.shown(store) == count({0: FIRST + LATER})
    assert {
        hour: head.version for hour, head in (await sales.heads(store)).items() if hour < 3
    } == {
        0: 2,
        1: 2,
        2: 1,
    }


async def test_force_counts_again_and_readers_see_equal_values(
    sales: Sales, store: ServingStore
) -> None:
    await sales.archive(FIRST)
    await sales.replay(store)
    shown = await sales.shown(store)

    report = await sales.replay(store, force=True)

    assert report.metrics[0].recomputed == 3
    assert {head.version for head in (await sales.heads(store)).values()} == {2}
    assert await sales.shown(store) == shown


async def test_a_dry_run_says_what_it_would_do_and_writes_nothing(
    sales: Sales, store: ServingStore
) -> None:
    await sales.archive(FIRST)

    report = await sales.replay(store, dry_run=True)

    assert (report.metrics[0].recomputed, report.metrics[0].relabelled) == (3, 21)
    assert await sales.heads(store) == {}
    assert await store.last_run(sales.by_shop.id) is None


async def test_only_the_range_is_counted(sales: Sales, store: ServingStore) -> None:
    await sales.archive(FIRST)

    await sales.replay(store, start=DAY + HOUR_MS, end=DAY + 2 * HOUR_MS)

    assert list(await sales.heads(store)) == [1]
    assert await sales.shown(store) == {(DAY + 61 * 60_000, "north"): (1, 5, 1)}


async def test_a_month_without_events_gets_its_heads(sales: Sales, store: ServingStore) -> None:
    await sales.archive(FIRST)

    report = await sales.replay(store, start=DAY - 30 * DAY_MS, end=DAY)

    heads = await store.heads(sales.by_shop.id, DAY - 31 * DAY_MS, DAY + DAY_MS)
    assert list(heads) == list(range(DAY - 30 * DAY_MS, DAY, HOUR_MS))
    assert report.metrics[0].relabelled == 720


async def test_an_empty_archive_is_no_error(sales: Sales, store: ServingStore) -> None:
    report = await sales.replay(store)

    assert report.as_dict()["metrics"] == [
        {"metric": "by_shop", "id": sales.by_shop.id, "coverage": {}, "run": None}
        | dict.fromkeys(("start", "end", "recomputed", "relabelled", "unchanged", "ahead"), 0)
        | dict.fromkeys(("events", "duplicates", "totals", "kept", "objects", "object_bytes"), 0)
        | dict.fromkeys(("rejects", "timeless", "rollups", "rollups_left"), 0)
        | {"segment_size": 4, "lost": {}}
    ]


async def test_metrics_of_one_source_are_counted_in_one_reading(
    sales: Sales, store: ServingStore
) -> None:
    await sales.archive(FIRST)
    seen: list[ReplayProgress] = []

    report = await sales.replay(store, sales.by_shop, sales.in_all, on_progress=seen.append)

    assert [(m.metric, m.totals, m.objects) for m in report.metrics] == [
        ("by_shop", 3, 2),
        ("in_all", 3, 2),
    ]
    assert seen[-1] == ReplayProgress(events=5, total_events=5, spans=48, total_spans=48)


async def test_worker_processes_give_the_same(sales: Sales) -> None:
    await sales.archive(FIRST)
    here, there = MemoryStore(), MemoryStore()

    await sales.replay(here, workers=0)
    await sales.replay(there, workers=2)

    assert await sales.shown(there) == await sales.shown(here) == count({0: FIRST})


async def test_readers_keep_what_is_newer_than_the_archive(
    sales: Sales, store: ServingStore, tmp_path: Path
) -> None:
    await sales.archive(FIRST + LATER)
    await sales.replay(store)
    shown = await sales.shown(store)
    copy = Sales(tmp_path)
    await copy.archive(FIRST[:4])

    report = await copy.replay(store, force=True)

    assert report.metrics[0].ahead == 24
    assert await sales.shown(store) == shown


async def test_an_undone_hour_is_counted_again(sales: Sales, store: ServingStore) -> None:
    await sales.archive(FIRST)
    await sales.replay(store)
    await sales.archive(LATER)
    await sales.replay(store)
    assert await store.undo(sales.by_shop.id, DAY)

    await sales.replay(store)

    assert await sales.shown(store) == count({0: FIRST + LATER})


class Overtaken(MemoryStore):
    """Just before the first pointer moves, somebody else replays the same."""

    def __init__(self, sales: Sales) -> None:
        super().__init__()
        self.sales: Sales | None = sales

    async def publish(self, metric: str, flips: Sequence[Flip]) -> None:
        if self.sales is not None:
            sales, self.sales = self.sales, None
            await sales.replay(self)
        await super().publish(metric, flips)


async def test_a_replay_that_is_overtaken_leaves_the_result_of_the_other(sales: Sales) -> None:
    await sales.archive(FIRST)
    store = Overtaken(sales)

    report = await sales.replay(store)

    assert (report.metrics[0].recomputed, report.metrics[0].unchanged) == (0, 24)
    assert {head.version for head in (await sales.heads(store)).values()} == {2}
    assert await sales.shown(store) == count({0: FIRST})


class Shared(MemoryStore):
    """Somebody else resumed the same run, and has just published the first of its hours."""

    def __init__(self) -> None:
        super().__init__()
        self.is_first = True

    async def write_totals(
        self,
        metric: str,
        version: int,
        spans: SpanTotals,
        pace: Pace | None = None,
        hours: SpanTotals | None = None,
    ) -> dict[int, int]:
        if self.is_first:
            self.is_first = False
            first = dict(sorted(spans.items())[:1])
            held = await super().write_totals(metric, version, first, None, hours)
            flips = [Flip(s, None, version, Coverage({0: 2}), rows) for s, rows in held.items()]
            await self.publish(metric, flips)
        return await super().write_totals(metric, version, spans, pace, hours)


async def test_a_replay_goes_on_with_the_hours_that_its_twin_has_not_published(
    sales: Sales,
) -> None:
    await sales.archive(FIRST)
    store = Shared()

    report = await sales.replay(store)

    assert report.metrics[0].recomputed == 2
    assert {head.version for head in (await sales.heads(store)).values()} == {1}
    assert await sales.shown(store) == count({0: FIRST})


class Contested(MemoryStore):
    """Somebody else always moves the pointer first."""

    async def publish(self, metric: str, flips: Sequence[Flip]) -> None:
        raise SpanConflictError("moved")


async def test_a_replay_gives_up_when_others_keep_moving_the_spans(sales: Sales) -> None:
    await sales.archive(FIRST)

    with pytest.raises(SpanConflictError, match="--resume"):
        await sales.replay(Contested())


class Stumbling(MemoryStore):
    """Every other write fails."""

    def __init__(self) -> None:
        super().__init__()
        self.is_down = False

    async def publish(self, metric: str, flips: Sequence[Flip]) -> None:
        self.is_down = not self.is_down
        if self.is_down:
            raise StoreUnavailableError("down")
        await super().publish(metric, flips)


async def test_totals_are_written_no_faster_than_allowed(sales: Sales, store: ServingStore) -> None:
    many = [Sale(f"s{n}", n) for n in range(400)]
    await sales.archive(many)
    loop = asyncio.get_running_loop()
    began = loop.time()

    await sales.replay(store, max_writes_per_s=500)

    assert loop.time() - began >= 400 / 500 - 0.2
    assert await sales.shown(store) == count({0: many})


@pytest.mark.parametrize("rows", [0, -1, float("nan")])
async def test_a_limit_that_lets_nothing_through_is_refused(sales: Sales, rows: float) -> None:
    with pytest.raises(ReplayError, match="above 0"):
        await sales.replay(MemoryStore(), max_writes_per_s=rows)


async def test_a_store_that_stumbles_is_asked_again(sales: Sales) -> None:
    await sales.archive(FIRST)
    store = Stumbling()

    await sales.replay(store)

    assert await sales.shown(store) == count({0: FIRST})


def left_out(sales: Sales, segment: int) -> Partial:
    unfolded = unfolded_of(sales.source)
    state = unfolded.dump([1])
    return Partial(unfolded.id, DAY, '["late"]', 0, segment, segment * 4, state)


@pytest.mark.parametrize(("complete", "left"), [(True, [1]), (False, [0, 1])])
async def test_partials_go_one_version_behind_and_the_sources_own_only_for_all_its_metrics(
    sales: Sales, store: ServingStore, complete: bool, left: list[int]
) -> None:
    metric = sales.by_shop
    state = metric.dump(metric.zero())
    fresh = [Partial(metric.id, DAY, '["north"]', 0, s, s * 4, state) for s in (0, 1)]
    await store.upsert([*fresh, left_out(sales, 0), left_out(sales, 1)], [])
    await sales.archive(FIRST[:4])
    await sales.replay(store, complete=complete)
    before = await store.partials(metric.id, DAY, DAY + HOUR_MS)
    await sales.archive(LATER)

    await sales.replay(store, complete=complete)

    after = await store.partials(metric.id, DAY, DAY + HOUR_MS)
    unfolded = await store.partials(unfolded_of(sales.source).id, DAY, DAY + HOUR_MS)
    assert [p.segment for p in before] == [0, 1]
    assert [p.segment for p in after] == [1]
    assert sorted(p.segment for p in unfolded) == left


async def test_what_a_metric_may_go_back_to_keeps_what_was_left_out(
    sales: Sales, store: ServingStore
) -> None:
    await store.upsert([left_out(sales, 0)], [])
    await sales.archive(FIRST[:4])
    await sales.replay(store, sales.by_shop)
    await sales.archive(LATER)

    await sales.replay(store, sales.by_shop, sales.in_all, complete=True)

    assert len(await store.partials(unfolded_of(sales.source).id, DAY, DAY + HOUR_MS)) == 1
