"""Each cause of a difference, provoked, and recognized with the right number."""

from pathlib import Path

import pytest

from fastdata.archive import ArchivedRecord, PartitionArchive
from fastdata.events.decoder import Decoder
from fastdata.events.registry import FolderRegistry
from fastdata.store.memory import MemoryStore
from fastdata.verify.reports import AGREES, INCOMPARABLE
from tests.verify.clicks import HOUR, MINUTE, START, Clicks

MORE = """
by_user = Metric("by_user", clicks, by=["user"], measures={"clicks": Count()})
"""


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


async def test_layers_that_agree_are_said_to(tmp_path: Path, store: MemoryStore) -> None:
    clicks = Clicks(tmp_path, store)
    for n in range(25):
        clicks.send(n * 5)
    await clicks.fold()
    await clicks.replay()

    report = await clicks.verify()

    (metric,) = report.metrics
    assert report.exit_code == AGREES
    assert [] == metric.findings
    assert not +metric.causes
    assert 25 == sum(span.events for span in metric.spans) == sum(s.new for s in metric.spans)
    errors = metric.errors()
    assert list(clicks.visits.measures) == list(errors)
    assert {(25, 0, 0.0)} == {(e["rows"], e["wrong"], e["max_error"]) for e in errors.values()}


async def test_late_and_future_events_are_counted(tmp_path: Path, store: MemoryStore) -> None:
    clicks = Clicks(tmp_path, store)
    for n in range(10):
        clicks.send(300 + n)
    now = START + 310 * MINUTE
    for n in range(3):
        clicks.send(n, came=now)
    clicks.send(300, came=now)
    for n in range(2):
        clicks.send(600 + n, came=now)
    await clicks.fold()
    await clicks.replay()

    metric = await clicks.verified()

    assert {"late": 3, "future": 2} == +metric.causes
    assert [] == metric.findings
    count = metric.errors()["clicks"]
    assert {"none": 10, "late": 3, "future": 2} == count["causes"]
    assert (5, 1.0) == (count["wrong"], count["max_error"])


async def test_the_error_is_relative_to_what_is_right(tmp_path: Path, store: MemoryStore) -> None:
    clicks = Clicks(tmp_path, store)
    clicks.send(0, amount=60)
    clicks.send(200)
    clicks.send(0.5, amount=40)
    await clicks.fold()
    await clicks.replay()

    errors = (await clicks.verified()).errors()

    assert {"rows": 2, "wrong": 1, "mean_error": 0.2, "max_error": 0.4} == {
        name: value for name, value in errors["amount"].items() if name not in {"causes", "numbers"}
    }
    assert {"none": 1, "late": 1} == errors["amount"]["causes"]
    assert 0.25 == errors["clicks"]["mean_error"]
    assert 0 == errors["largest"]["wrong"]


async def test_repeats_beyond_the_horizon_are_duplicates(
    tmp_path: Path, store: MemoryStore
) -> None:
    clicks = Clicks(tmp_path, store)
    for n in range(400):
        clicks.send(n / 10, id=f"c{n}")
    for n in (0, 1, 395):  # the horizon is 300: the last one is recognized
        clicks.send(n / 10, id=f"c{n}")
    await clicks.fold()
    await clicks.replay()

    metric = await clicks.verified()

    assert {"duplicate": 2} == +metric.causes
    assert [] == metric.findings
    assert {"none": 39, "duplicate": 1} == metric.errors()["clicks"]["causes"]
    assert 0.2 == metric.errors()["clicks"]["max_error"]


async def test_what_was_skipped_is_a_gap(tmp_path: Path, store: MemoryStore) -> None:
    clicks = Clicks(tmp_path, store)
    for n in range(34):
        clicks.send(n)
    await clicks.loop.start(store)
    clicks.loop.fold(0, 5)
    await clicks.loop.layer.flush()
    target = await clicks.loop.layer.open(0, 5, 28, 34)
    assert 30 == target
    clicks.loop._read[0] = target
    await clicks.fold()
    await clicks.replay()

    metric = await clicks.verified()

    assert {"gap": 25} == +metric.causes
    assert [] == metric.findings
    assert {"none": 9, "gap": 25} == metric.errors()["clicks"]["causes"]


async def test_a_sketch_past_its_exact_range_is_within_its_bounds(
    tmp_path: Path, store: MemoryStore
) -> None:
    clicks = Clicks(tmp_path, store)
    for n in range(3_000):
        clicks.send(0, user=n)
    await clicks.fold()
    await clicks.replay()

    metric = await clicks.verified()

    assert [] == metric.findings
    assert 1 == metric.sketches.compared
    users = metric.errors()["users"]
    assert {"sketch": 1} == users["causes"]
    error = users["max_error"]
    assert isinstance(error, float)
    assert 0 < error < 0.05
    assert not +metric.causes


async def test_what_came_before_a_definition_is_named(tmp_path: Path, store: MemoryStore) -> None:
    clicks = Clicks(tmp_path, store, MORE, metrics=1)
    for n in range(25):
        clicks.send(n)
    await clicks.fold()
    clicks.loop.metrics = clicks.declared
    await clicks.loop.start(store)
    for n in range(25, 30):
        clicks.send(n)
    await clicks.fold()
    await clicks.replay()

    visits, by_user = (await clicks.verify()).metrics

    assert not +visits.causes
    assert {"definition": 20} == +by_user.causes
    assert [] == visits.findings == by_user.findings
    assert {"none": 10, "definition": 20} == by_user.errors()["clicks"]["causes"]


async def test_a_definition_that_no_worker_knows_cannot_be_compared(
    tmp_path: Path, store: MemoryStore
) -> None:
    clicks = Clicks(tmp_path, store, MORE, metrics=1)
    for n in range(20):
        clicks.send(n)
    await clicks.fold()
    clicks.loop.metrics = clicks.declared
    await clicks.replay()

    report = await clicks.verify()

    assert [] == report.metrics[1].findings
    assert {"never folded"} == {span.speed for span in report.metrics[1].spans if span.events}
    assert report.exit_code == INCOMPARABLE


async def test_what_the_worker_has_not_come_to_is_behind(
    tmp_path: Path, store: MemoryStore
) -> None:
    clicks = Clicks(tmp_path, store)
    for n in range(30):
        clicks.send(n)
    await clicks.loop.start(store)
    clicks.loop.fold(0, 18)
    await clicks.loop.layer.flush()
    await clicks.replay()

    metric = await clicks.verified()

    assert {"behind": 12} == +metric.causes
    assert [] == metric.findings


async def test_without_a_worker_only_batch_is_verified(tmp_path: Path, store: MemoryStore) -> None:
    clicks = Clicks(tmp_path, store)
    for n in range(10):
        clicks.send(n)
    await clicks.replay()

    report = await clicks.verify()

    assert report.exit_code == INCOMPARABLE
    (metric,) = report.metrics
    assert 10 == sum(span.events for span in metric.spans)
    assert {"no worker"} == {span.speed for span in metric.spans if span.events}


async def test_only_what_the_newest_replay_added_is_compared(
    tmp_path: Path, store: MemoryStore
) -> None:
    clicks = Clicks(tmp_path, store)
    for n in range(10):
        clicks.send(n)
    await clicks.fold()
    await clicks.replay()
    for n in range(20):
        clicks.send(100 + n if n % 4 else 0, id=f"d{n}")
    await clicks.fold()
    await clicks.replay()
    await clicks.loop.layer.clean_up()

    spans = {s.span: s for s in (await clicks.verified()).spans}

    assert (15, 5) == (spans[START].events, spans[START].new)
    assert (15, 15) == (spans[START + HOUR].events, spans[START + HOUR].new)
    assert [] == [finding for span in spans.values() for finding in span.findings]


async def test_an_undone_span_is_not_compared(tmp_path: Path, store: MemoryStore) -> None:
    clicks = Clicks(tmp_path, store)
    for _ in range(2):
        for n in range(10):
            clicks.send(n)
        await clicks.fold()
        await clicks.replay()
    assert await store.undo(clicks.visits.id, START)

    metric = await clicks.verified()

    assert ["undone"] == [span.speed for span in metric.spans if span.events]
    assert [] == metric.findings


async def test_what_was_never_archived_is_named(tmp_path: Path, store: MemoryStore) -> None:
    clicks = Clicks(tmp_path, store)
    for n in range(30):
        clicks.send(n)
    await clicks.fold()
    clicks.loop.log.fill(10)
    loop = clicks.loop
    writer = PartitionArchive(loop.archived, loop.source, Decoder(loop.source, clicks.registry), 0)
    first = await writer.open(14)
    for offset, (at, value) in enumerate(loop.log.partitions[0][first:], first):
        writer.append(ArchivedRecord(offset, at, None, value))
    await writer.flush(force=True)
    await clicks.replay()

    metric = await clicks.verified()

    assert 14 == first
    assert {"unarchived": 14} == +metric.causes
    assert [] == metric.findings


async def test_a_dead_letter_that_can_be_read_later_is_named(
    tmp_path: Path, store: MemoryStore
) -> None:
    clicks = Clicks(tmp_path, store)
    for n in range(10):
        clicks.send(n)
    known = clicks.loop._decoder
    schemas = tmp_path / "empty"
    schemas.mkdir()
    clicks.loop._decoder = Decoder(clicks.loop.source, FolderRegistry(schemas))
    await clicks.loop.start(store)
    clicks.loop.fold(0, 3)
    await clicks.loop.layer.flush()
    clicks.loop._decoder = known
    await clicks.loop.start(store)
    await clicks.fold()
    await clicks.replay()

    metric = await clicks.verified()

    assert {"dead letter": 3} == +metric.causes
    assert [] == metric.findings


async def test_what_is_dropped_by_the_map_function_is_no_difference(
    tmp_path: Path, store: MemoryStore
) -> None:
    clicks = Clicks(tmp_path, store)
    clicks.loop.source.map(lambda event: event if event["place"] == "Oslo" else None)
    for n in range(30):
        clicks.send(n, place="Oslo" if n % 3 else "Rome")
    await clicks.fold()
    await clicks.replay()

    metric = await clicks.verified()

    assert not +metric.causes
    assert [] == metric.findings
    assert (20, 0) == (metric.errors()["clicks"]["rows"], metric.errors()["clicks"]["wrong"])


async def test_lost_state_that_is_folded_again_is_no_difference(
    tmp_path: Path, store: MemoryStore
) -> None:
    clicks = Clicks(tmp_path, store)
    for n in range(15):
        clicks.send(300 + n)
    clicks.send(0, came=START + 320 * MINUTE)
    await clicks.fold()
    await clicks.loop.start(store, wipe=True)
    for n in range(5):
        clicks.send(320 + n)
    await clicks.fold()
    await clicks.replay()

    metric = await clicks.verified()

    assert [] == metric.findings
    assert 21 == sum(span.new for span in metric.spans)


async def test_a_metric_with_expressions_is_verified(tmp_path: Path, store: MemoryStore) -> None:
    more = """
big = Metric(
    "big", clicks, by={"city": "upper(place)"}, where="amount >= 20",
    measures={"clicks": Count(), "double": Sum("amount * 2")},
)
"""
    clicks = Clicks(tmp_path, store, more)
    for n in range(20):
        clicks.send(300 + n)
    for n in range(6):  # of these the condition takes three
        clicks.send(n, came=START + 320 * MINUTE, amount=17 + n)
    await clicks.fold()
    await clicks.replay()

    visits, big = (await clicks.verify()).metrics

    assert [] == visits.findings == big.findings
    assert ({"late": 6}, {"late": 3}) == (+visits.causes, +big.causes)
    assert {"none": 10, "late": 3} == big.errors()["double"]["causes"]
