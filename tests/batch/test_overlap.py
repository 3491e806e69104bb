"""While one group of hours is written, the next ones are computed; and no more than that."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fastdata import load
from fastdata.batch import processes, work
from fastdata.batch.job import Engine, Job
from fastdata.batch.processes import FoldingPool, choose_workers
from fastdata.store.memory import MemoryStore
from fastdata.store.pace import Pace
from fastdata.store.protocol import SpanTotals
from tests.batch.sales import Sale, Sales

HOURS = [Sale(f"s{n}", n * 60, buyer=f"hour-{n}") for n in range(20)]


def folded(folder: Path) -> set[str]:
    """The hours that some process has folded, as the map function notes them."""
    return {path.name for path in folder.glob("hour-*")}


class Watching(MemoryStore):
    """Ends its first write when later hours are folded, which it waits for."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.seen: set[str] = set()

    async def write_totals(
        self,
        metric: str,
        version: int,
        spans: SpanTotals,
        pace: Pace | None = None,
        hours: SpanTotals | None = None,
    ) -> dict[int, int]:
        if not self.seen:
            async with asyncio.timeout(180):
                while len(folded(self.folder)) < 3:  # noqa: ASYNC110 - in other processes
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.5)  # what may not be computed yet has time to be
            self.seen = folded(self.folder)
        return await super().write_totals(metric, version, spans, pace, hours)


async def test_the_next_groups_are_computed_while_one_is_written_and_no_more(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(work._GROUP_EVENTS, "rows", 1)
    sales = Sales(tmp_path, segment_size=1)  # an object for each hour
    note = f"    open({str(tmp_path)!r} + '/' + event['buyer'], 'w').close()\n    return None if"
    sales.file.write_text(sales.file.read_text().replace("    return None if", note))
    twin = sales.file.with_name("noting.py")
    twin.write_text(sales.file.read_text())
    await sales.archive(HOURS)
    store = Watching(tmp_path)

    await sales.replay(store, load(twin).by_shop, workers=2)

    # The one that is written, and two for two processes.
    assert store.seen == {"hour-0", "hour-1", "hour-2"}
    assert len(folded(tmp_path)) == 20


@pytest.mark.parametrize(("limit", "ahead"), [(1_000, 3), (20, 2), (10, 1), (1, 1)])
async def test_of_large_jobs_fewer_are_under_way(
    sales: Sales, monkeypatch: pytest.MonkeyPatch, limit: int, ahead: int
) -> None:
    monkeypatch.setattr(processes, "_EVENTS_AT_ONCE", limit)
    asked, done, most = 0, 0, 0

    async def jobs() -> AsyncIterator[tuple[int, Job]]:
        nonlocal asked
        for label in range(8):
            asked += 1
            yield label, Job({0: 10}, {0: ()}, ())

    with FoldingPool(3) as pool:
        monkeypatch.setattr(processes, "fold_declared", _fold_nothing)
        async for label, _ in pool.results([sales.by_shop], jobs()):
            assert label == done
            done += 1
            most = max(most, asked - done)

    assert done == 8
    assert most == ahead


@pytest.mark.parametrize(
    ("wanted", "groups", "processes"),
    [
        (None, {}, 0),
        (None, {"rows": []}, 0),
        (None, {"rows": [19_999]}, 0),
        (None, {"rows": [25_000]}, 1),
        (None, {"rows": [25_000] * 9}, 2),
        (None, {"rows": [25_000, 300_000]}, 1),
        (None, {"rows": [900_000] * 9}, 1),
        (None, {"columns": [200_000, 200_000]}, 0),
        (None, {"columns": [200_000] * 14}, 0),
        (None, {"columns": [200_000] * 15}, 2),
        (None, {"columns": [200_000], "rows": [25_000]}, 2),
        (3, {"rows": [900_000] * 9}, 3),
    ],
)
def test_large_groups_get_one_process(
    monkeypatch: pytest.MonkeyPatch,
    wanted: int | None,
    groups: dict[Engine, list[int]],
    processes: int,
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)

    assert choose_workers(wanted, groups) == processes


def _fold_nothing(*_: object) -> None:
    """What a worker process does instead of a job."""
