"""All that version 0.1.0 has left goes on together, and is answered as that version answered.

But for this: a replay counts what there is of open segments, too, which it did not.
"""

import asyncio
from typing import Any

from fastdata.archive import ArchiveReader, PartitionArchive
from fastdata.batch.replay import replay
from fastdata.store.opening import open_store
from tests.stored.questions import QUESTIONS
from tests.stored.speed import Worker
from tests.stored.written import (
    PARTITIONS,
    CountedStorage,
    Written,
    answers,
    declared,
    decoder,
    records,
)


def test_later_events_change_the_answers_as_they_did(written: Written) -> None:
    asyncio.run(finish(written, written.archive()))

    for question, answer in zip(QUESTIONS, answers("after"), strict=True):
        assert_as_exact(written.run(*question), answer, question)


def assert_as_exact(answer: dict[str, Any], before: dict[str, Any], question: list[str]) -> None:
    """What was exact is the same; what is new is exact."""
    assert answer.pop("unfolded") <= before["unfolded"]
    assert answer.pop("fresh_until") >= before["fresh_until"]
    answer.pop("read_until")  # unknown where nothing has come since that version
    assert answer == {name: before[name] for name in answer} | {"rows": answer["rows"]}
    keys = "window_start", "window_end", *answer["by"]
    rows = {tuple(row[name] for name in keys): row for row in answer["rows"]}
    known = {tuple(row[name] for name in keys): row for row in before["rows"]}
    assert all(rows[key]["exact"] for key in rows.keys() - known.keys())
    for key, row in known.items():
        if row["exact"]:
            moments = {name: row[name] for name in ("fresh_until", "read_until")}
            assert rows[key] | moments == row, question


async def test_a_replay_reads_the_hours_that_have_changed_and_no_others(written: Written) -> None:
    archive = written.archive()
    metric = declared().metrics["kinds"]
    async with open_store(written.store()) as store:
        run = await store.last_run(metric.id)
    assert run is not None
    await finish(written, archive)

    objects = (await ArchiveReader(archive, metric.source).snapshot()).objects()
    size = metric.source.segment_size
    new = {
        hour
        for each in objects
        if not run.coverage.covers(each.partition, each.first // size)
        for hour in each.hours
    }
    wanted = {each.name for each in objects if new & each.hours.keys()}
    # Of open segments the archive itself reads all: of these, no more are closed.
    wanted = {name for name in wanted if name.startswith("topics/")}
    read = {name for name in archive.read if name.startswith("topics/visits")}
    assert wanted == read
    assert len(read) < len(objects)
    # The hours of a changed day that are as they were come from what was kept of them.
    kept = {name for name in archive.read if "/hours/" in name}
    assert kept - {name for name in archive.created if "/hours/" in name}


async def finish(written: Written, archive: CountedStorage) -> None:
    """Fold, archive and replay what came after all was kept."""
    async with open_store(written.store()) as store:
        for topic, partitions in PARTITIONS.items():
            await Worker(topic, written.state() / "worker-0", store).finish()
            for partition in range(partitions):
                source = declared().sources[topic]
                writer = PartitionArchive(archive, source, decoder(source), partition)
                await writer.open()
                for record in records(topic, partition):
                    writer.append(record)
                await writer.flush(force=True)
        archive.read.clear()
        archive.created.clear()
        metrics = [*declared().metrics.values()]
        await replay(metrics, store=store, archive=archive, workers=0, complete=True)
