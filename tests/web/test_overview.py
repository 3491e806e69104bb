"""The page of the pipeline: in words, and of which log what is counted is."""

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from fastdata.store.opening import open_store
from fastdata.store.protocol import Progress
from tests.answer.trips import TWO, progress, unfolded
from tests.support.mockbroker import MockBroker
from tests.web.serving import Served, serving


@pytest.fixture
def broker() -> Iterator[MockBroker]:
    with MockBroker() as broker:
        broker.create("trips", 1)
        yield broker


def watching(folder: Path, broker: MockBroker) -> AbstractAsyncContextManager[Served]:
    """A server that reaches all that a status is made of."""
    (folder / "archive").mkdir()
    return serving(folder, broker=broker.address, archive=f"{folder}/archive")


async def leave_out(served: Served, counts: dict[tuple[int, str], int], *more: Progress) -> str:
    """The page once so many events are left out, by partition and reason."""
    async with open_store(served.store) as store:
        rows = [unfolded(served.metric, 0, reason, n) for (_, reason), n in counts.items()]
        rows = [row._replace(partition=p) for row, (p, _) in zip(rows, counts, strict=True)]
        await store.upsert(rows, more)
    return (await served.get("/pipeline")).text


async def test_reasons_are_words_and_lead_to_the_letters(
    tmp_path: Path, broker: MockBroker
) -> None:
    async with watching(tmp_path, broker) as served:
        html = await leave_out(served, {(0, "dead:malformed"): 1, (0, "late"): 2})
    assert "1 dead letter.</span>" in html
    assert "<dt>dead letters, malformed</dt><dd>1 event: see" in html
    assert 'href="/dead-letters?source=trips&amp;reason=malformed"' in html
    assert "<dt>late</dt><dd>2 events, counted by the next replay</dd>" in html
    assert "dead:" not in html


async def test_dead_letters_of_an_earlier_log_are_told_from_those_that_can_be_seen(
    tmp_path: Path, broker: MockBroker
) -> None:
    old = replace(progress(TWO), next_offset=401, epoch="mockClustera/1")
    new = replace(progress(TWO), partition=1_000, epoch="mockClusterb/1")
    letters = {(0, "dead:malformed"): 2, (0, "dead:too-old"): 1, (1_000, "dead:too-old"): 1}
    async with watching(tmp_path, broker) as served:
        html = await leave_out(served, letters, old, new)
        (source,) = (await served.get("/api/v1/status")).json()["sources"]
    assert {"dead:malformed": 2, "dead:too-old": 1} == source["dead_before"]
    assert {"dead:malformed": 2, "dead:too-old": 2} == source["unfolded"]
    assert "4 dead letters, 3 of an earlier log.</span>" in html
    gone = "of an earlier log, whose dead letters may be gone with it</dd>"
    assert f"<dt>dead letters, malformed</dt><dd>2 events, {gone}" in html
    assert f"dead letters</a>, 1 {gone}" in html


async def test_where_the_broker_tells_of_nobody_no_column_is_empty(
    tmp_path: Path, broker: MockBroker
) -> None:
    async with watching(tmp_path, broker) as served:
        html = (await served.get("/pipeline")).text
    assert "The broker tells of nobody who folds or archives" in html
    assert ">worker</th>" not in html
