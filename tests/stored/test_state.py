"""The state folder of a worker of version 0.1.0 is known, and goes on as it would have."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable

import pytest

from fastdata.coordinates.dimensions import load_dims
from fastdata.declare.metric import Metric
from fastdata.declare.unfolded import unfolded_of
from fastdata.speed.keys import cell_prefix, ids_prefix, load_marker, marker_key
from fastdata.store.opening import open_store
from fastdata.store.protocol import Partial, ServingStore
from tests.stored.speed import Worker
from tests.stored.written import PARTITIONS, Written, changes, committed, records

EVER = (-(1 << 50), 1 << 50)


@pytest.fixture
async def store(written: Written) -> AsyncIterator[ServingStore]:
    async with open_store(written.store()) as opened:
        yield opened


@pytest.fixture(params=PARTITIONS)
def worker(request: pytest.FixtureRequest, written: Written, store: ServingStore) -> Worker:
    return Worker(request.param, written.state() / "worker-0", store)


async def test_the_folder_holds_what_the_changelog_says(worker: Worker) -> None:
    for partition, end in worker.ends.items():
        newest = dict(changes(worker.topic, partition)[:end])
        rows = dict(worker.rows.scan(partition, b""))

        assert {key: value for key, value in newest.items() if value is not None} == rows
        assert end > 50


async def test_markers_cells_and_ids_are_known(worker: Worker) -> None:
    metrics = {metric.id for metric in worker.layer.metrics}
    for partition, offset in enumerate(committed(worker.topic)):
        marker = load_marker(worker.rows.get(partition, marker_key(partition)))
        keys = {key for key, _ in worker.rows.scan(partition, b"")}
        cells = {
            key
            for metric in metrics
            for key, _ in worker.rows.scan(partition, cell_prefix(partition, metric))
        }
        ids = {key for key, _ in worker.rows.scan(partition, ids_prefix(partition))}

        assert marker is not None
        assert (offset, metrics) == (marker.next_offset, {*marker.metrics})
        assert keys == {marker_key(partition)} | cells | ids
        assert cells
        assert bool(ids) is (worker.source.id is not None)


async def test_each_cell_is_a_partial_of_the_store(worker: Worker, store: ServingStore) -> None:
    for partition, offset in enumerate(committed(worker.topic)):
        await worker.layer.open(partition, offset, 0, offset)
    for index, metric in enumerate(worker.layer.metrics):
        partials = await store.partials(metric.id, *EVER)
        for partial in partials:
            key = (index, partial.segment, partial.window, load_dims(partial.dims))
            cell = worker.layer.partitions[partial.partition].cells.find(key)
            assert cell is not None
            assert partial.stamp == cell.stamp
            assert partial.state == metric.dump(cell.states)
        assert partials


async def test_a_worker_goes_on_where_it_was(worker: Worker) -> None:
    start = committed(worker.topic)
    for partition, offset in enumerate(start):
        assert await worker.layer.open(partition, offset, 0, offset) == offset
    await worker.layer.flush()

    assert not any(worker.changelog.rows.values())
    assert not worker.committed


async def test_what_is_read_again_is_not_folded_again(worker: Worker, store: ServingStore) -> None:
    before = await _shown(worker, store)
    kept = {p: dict(worker.rows.scan(p, b"")) for p in worker.ends}
    await worker.fold([0] * len(worker.ends), committed(worker.topic))

    for partition, rows in worker.changelog.rows.items():
        assert len(rows) > 10
        # Ids are remembered again, also those that were behind the horizon.
        states = {key: value for key, value in rows if not key.startswith(b"i")}
        assert {key: kept[partition].get(key) for key in states} == states
    assert before == await _shown(worker, store)
    assert worker.committed == dict(enumerate(committed(worker.topic)))


async def test_what_comes_is_written_as_that_version_wrote_it(worker: Worker) -> None:
    before = {p: dict(worker.rows.scan(p, b"c")) for p in worker.ends}
    await worker.finish()

    for partition, rows in worker.changelog.rows.items():
        expected = dict(changes(worker.topic, partition)[worker.ends[partition] :])
        # Rows of ids are kept for one flush more than they were then.
        deleted, expected_deleted = _deleted(rows), _deleted(expected.items())
        assert deleted <= expected_deleted
        assert dict(rows) == {k: v for k, v in expected.items() if v is not None or k in deleted}
        assert all(key.startswith(b"i") for key in expected_deleted - deleted)
        # Some of it went into cells that had events before.
        continued = [key for key, value in rows if before[partition].get(key, value) != value]
        assert any(cell_prefix(partition, m.id) in key for m in worker.metrics for key in continued)
    ends = {p: records(worker.topic, p)[-1].offset + 1 for p in worker.ends}
    assert worker.committed == ends


async def test_repeats_of_what_was_folded_before_are_recognized(
    written: Written, store: ServingStore
) -> None:
    worker = Worker("visits", written.state() / "worker-0", store)
    unfolded = worker.layer.metrics[-1]
    before = await _counts(unfolded, store)
    await worker.finish()
    after = await _counts(unfolded, store)

    # One in each partition; in the other one nobody knows it.
    assert after["repeat"] - before["repeat"] == 2
    assert after["late"] > before["late"]


def _deleted(rows: Iterable[tuple[bytes, bytes | None]]) -> set[bytes]:
    return {key for key, value in rows if value is None}


async def _counts(metric: Metric, store: ServingStore) -> Counter[str]:
    """Events that were left out, by reason."""
    counts = Counter[str]()
    for partial in await store.partials(metric.id, *EVER):
        (reason,), (count,) = load_dims(partial.dims), metric.load(partial.state)
        assert isinstance(count, int)
        counts[str(reason)] += count
    return counts


async def _shown(worker: Worker, store: ServingStore) -> list[Partial]:
    """What readers see of the speed layer."""
    source = worker.source
    shown: list[Partial] = []
    for metric in worker.metrics:
        reading = await store.read(metric.id, unfolded_of(source).id, source.topic, *EVER)
        shown += sorted([*reading.partials, *reading.unfolded])
    return shown
