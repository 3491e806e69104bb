"""Windows of derived metrics: those kept ready of one side, and ranges that both sides share."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from fastdata import DerivedMetric, Metric, query
from fastdata.answer.arrow import describe
from fastdata.coordinates.dimensions import dump_dims
from fastdata.coordinates.instants import DAY_MS, HOUR_MS, MINUTE_MS
from fastdata.store.memory import MemoryStore
from fastdata.store.protocol import Gap, Partial
from tests.answer.apps import NOON, ONE, TWO, Apps
from tests.answer.watched import Watched
from tests.batch.visits import Visits, local_ms


def share(pages: Metric, other: Metric) -> DerivedMetric:
    measures = {"share": "pages.visits / other.events", "visitors": "pages.visitors * 1.0"}
    return DerivedMetric("share", [pages, other], measures, zone="Europe/Berlin")


@pytest.mark.parametrize(
    "windows",
    [{"every": "day"}, {"every": "month"}, {"every": "day", "rolling": "3d"}],
    ids=lambda words: " ".join(words.values()),
)
@pytest.mark.parametrize("by", [(), ("page",)], ids=["all", "by page"])
async def test_windows_that_one_side_keeps_ready_answer_as_its_hours_do(
    tmp_path: Path, windows: dict[str, str], by: tuple[str, ...]
) -> None:
    world, store = Visits(tmp_path, ("day", "month", "3d")), Watched()
    start = local_ms("2024-05-01", "Europe/Berlin") + 10 * HOUR_MS
    await world.archive((start + n * HOUR_MS, "ab"[n % 3 == 0], n % 5) for n in range(40))
    await world.replay(store)
    # Of the other side there is something before and after all that is ready, and cuts days.
    other = Metric("other", world.source, by=["page"], zone="Europe/Berlin")
    states = other.zero()
    other.add(states, {"page": "a"})
    moments = [start - 5 * DAY_MS, start - HOUR_MS, start + HOUR_MS, start + 9 * DAY_MS]
    for offset, at in enumerate(moments, 9_000):
        blob = other.dump(states)
        await store.upsert([Partial(other.id, at, dump_dims(["a"]), 0, 180, offset, blob)], [])

    ready = await query(share(world.metric, other), **windows, by=by, store=store)  # type: ignore[arg-type]
    first_read = store.totals[0]
    plain = await query(share(world.declare(()), other), **windows, by=by, store=store)  # type: ignore[arg-type]

    assert plain.num_rows > 2 - (windows["every"] == "month")
    assert plain.equals(ready)
    assert 0 == first_read < max(store.totals)


async def test_events_left_out_of_one_source_are_told_once_and_of_two_added(
    tmp_path: Path,
) -> None:
    async with MemoryStore() as store:
        apps = Apps(tmp_path, store)
        other = Metric("other", apps.loads.source, by=["version"])
        per_load = DerivedMetric("x", [other, apps.loads], {"x": "other.events / loads.loads"})
        await apps.count(apps.loads, NOON, {"1.0": "a"})
        await apps.leave_out(apps.loads, ONE, 3)
        await apps.leave_out(apps.crashes, ONE, 2)

        assert 3 == describe(await query(per_load, store=store))["unfolded"]
        assert 5 == describe(await query(apps.stability, store=store))["unfolded"]


async def test_stretches_are_those_that_all_were_replayed_in_and_any_has_a_gap_in(
    tmp_path: Path,
) -> None:
    async with MemoryStore() as store:
        apps = Apps(tmp_path, store)
        hours = [NOON, ONE, TWO, TWO + HOUR_MS]
        for metric, chosen in ((apps.loads, (0, 1, 3)), (apps.crashes, (0, 2, 3))):
            for number in chosen:
                await apps.count(metric, hours[number])
            # Batch has read the gap up to its end in the hours that it has counted.
            await store.record_gap(Gap(metric.source.topic, 0, 250, 300))

        about = describe(await query(apps.stability, store=store))

    assert [("12", "13"), ("15", "16")] == spans(about["replayed"])
    assert [("13", "15")] == spans(about["gaps"])


def spans(stretches: list[dict[str, str]]) -> list[tuple[str, str]]:
    return [(stretch["start"][11:13], stretch["end"][11:13]) for stretch in stretches]


async def test_a_range_that_cuts_a_window_cuts_it_of_both(tmp_path: Path) -> None:
    async with MemoryStore() as store:
        apps = Apps(tmp_path, store)
        for metric in (apps.loads, apps.crashes):
            await apps.fold(metric, NOON + 20 * MINUTE_MS, "1.0", "ab")
            await apps.fold(metric, NOON + 40 * MINUTE_MS, "1.0", "abcd"[: len(metric.by)])

        rows = await apps.rows(
            "window_start", "window_end", "crashes_per_load",
            start="2024-02-29T12:30", end="2024-02-29T12:50",
        )  # fmt: skip

    half, end = (datetime(2024, 2, 29, 12, minute, tzinfo=UTC) for minute in (30, 50))
    assert [(half, end, 1.0)] == rows
