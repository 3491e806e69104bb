"""Status, dead letters, replays, quality and health."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import confluent_kafka
import pytest

from fastdata.coordinates.dimensions import dump_dims
from fastdata.coordinates.instants import now_ms
from fastdata.coordinates.segments import Coverage
from fastdata.store.opening import open_store
from fastdata.store.past_runs import PastRun, add_past_run
from fastdata.store.protocol import Flip, Total
from fastdata.verify.errors_metric import errors_of
from fastdata.web import operations, recent
from fastdata.web.desk import Desk
from tests.answer.trips import NOON, TWO
from tests.support.mockbroker import MockBroker
from tests.web.serving import Served, fold, serving
from tests.web.test_pages import Cells

LETTERS = "/api/v1/dead-letters"
HOUR = 3_600_000


@pytest.fixture
def broker() -> Iterator[MockBroker]:
    with MockBroker() as broker:
        broker.create("trips", 1)
        broker.create("trips.dead-letters", 2)
        yield broker


def write_letters(broker: MockBroker) -> None:
    """Three in partition 0 and one in partition 1; the third is the newest."""
    producer = confluent_kafka.Producer({"bootstrap.servers": broker.address})
    letters = [
        (0, "malformed", b"{", 1_000),
        (0, "too-old", b"\xff\x00", 2_000),
        (1, "malformed", b"[", 3_000),
        (0, "malformed", b"x" * 20_000, 4_000),
    ]
    for number, (partition, reason, value, timestamp) in enumerate(letters):
        headers = {"topic": "trips", "partition": "0", "offset": str(number), "timestamp": "7"}
        headers |= {"stage": "decode", "reason": reason, "detail": "no record"}
        named: list[tuple[str, str | bytes | None]] = [("own", b"1")]
        named += [(f"fastdata.{k}", v.encode()) for k, v in headers.items()]
        producer.produce(
            "trips.dead-letters", value, b"k", partition, headers=named, timestamp=timestamp
        )
    assert 0 == producer.flush(10)


async def test_dead_letters_come_in_pages_the_newest_first(
    tmp_path: Path, broker: MockBroker
) -> None:
    write_letters(broker)
    async with serving(tmp_path, broker=broker.address) as served:
        first = (await served.get(f"{LETTERS}?limit=2")).json()
        second = (await served.get(f"{LETTERS}?limit=2&before={first['next']}")).json()
    shown = [(e["partition"], e["offset"], e["record"]["offset"]) for e in first["letters"]]
    assert [(0, 2, "3"), (1, 0, "2")] == shown
    assert (20_000, 16_384) == (
        first["letters"][0]["value_bytes"],
        len(first["letters"][0]["value"]),
    )
    assert ["1", "0"] == [e["record"]["offset"] for e in second["letters"]]
    assert ("/wA=", False) == tuple(second["letters"][0][n] for n in ("value", "is_text"))
    assert ("{", True, "k") == tuple(second["letters"][1][n] for n in ("value", "is_text", "key"))
    assert ("trips.dead-letters", None) == (second["topic"], second["next"])


async def test_dead_letters_of_one_reason_can_be_asked_for(
    tmp_path: Path, broker: MockBroker
) -> None:
    write_letters(broker)
    async with serving(tmp_path, broker=broker.address) as served:
        page = (await served.get(f"{LETTERS}?reason=too-old&source=trips")).json()
        none = (await served.get(f"{LETTERS}?reason=none")).json()
        refusal = await served.problem(f"{LETTERS}?source=trip")
    assert [("decode", "too-old", "no record")] == [
        tuple(letter[n] for n in ("stage", "reason", "detail")) for letter in page["letters"]
    ]
    assert ([], None) == (none["letters"], none["next"])
    assert (400, "source is trip; those that are declared: trips") == refusal


async def test_a_broker_that_is_away_is_said_as_the_status_says_it(tmp_path: Path) -> None:
    async with serving(tmp_path, broker="127.0.0.1:1") as served:
        status, detail = await served.problem(LETTERS)
        page = await served.get("/dead-letters")
        pipeline = (await served.get("/pipeline")).text
    assert (503, "127.0.0.1:1 refuses connections" in detail) == (status, True), detail
    assert (503, True) == (page.status_code, "refuses connections" in page.text)
    assert "refuses connections" in pipeline
    assert "The broker tells of nobody" not in pipeline


async def test_the_status_is_that_of_the_command_and_names_what_is_not_reached(
    tmp_path: Path, broker: MockBroker
) -> None:
    async with serving(tmp_path, broker=broker.address, archive=f"{tmp_path}/no") as served:
        status = (await served.get("/api/v1/status")).json()
        (tmp_path / "store.db").rename(tmp_path / "away.db")
        served.app.state.desk.status._until = 0
        without = (await served.get("/api/v1/status")).json()
    (source,) = status["sources"]
    assert ("trips", "2013-01-01T14:00:00Z") == (source["source"], source["read_until"])
    assert 400 == source["partitions"][0]["folded"]
    assert any(f"{tmp_path}/no" in problem for problem in status["problems"]), status["problems"]
    assert any("store.db" in problem for problem in without["problems"])
    assert 0 == without["sources"][0]["partitions"][0]["log_end"]


async def test_replays_say_what_the_next_one_has_to_count(served: Served) -> None:
    async with open_store(served.store) as store:
        await store.open_run(served.metric.id, NOON, TWO, Coverage({0: 3}))
    await fold(served, TWO + 2 * HOUR, 1)
    (replay,) = (await served.get("/api/v1/replays")).json()["replays"]
    assert {
        "number": 1,
        "start": "2013-01-01T12:00:00Z",
        "end": "2013-01-01T14:00:00Z",
        "is_done": False,
    } == replay["run"]
    # Of 13:00 there is a partial that the head does not cover.
    assert [("13:00", "14:00"), ("16:00", "17:00")] == [
        (stretch["start"][11:16], stretch["end"][11:16]) for stretch in replay["dirty"]
    ]


COUNTED = PastRun(
    NOON, 6.25, number=1, start=NOON, end=TWO, counted=2, events=1_234, objects=3,
    object_bytes=98_765, next=TWO + HOUR,
)  # fmt: skip
FAILED = PastRun(TWO + HOUR, 0.5, error="<b>a hole</b>")


async def keep(served: Served, *runs: PastRun) -> None:
    async with open_store(served.store) as store:
        for run in runs:
            await add_past_run(store, served.metric.id, run)


async def test_replays_that_are_over_say_what_they_did(served: Served) -> None:
    (before,) = (await served.get("/api/v1/replays")).json()["replays"]
    await keep(served, COUNTED, FAILED)
    (replay,) = (await served.get("/api/v1/replays")).json()["replays"]
    assert ([], None) == (before["past_runs"], before["next"])
    assert [FAILED.as_dict(), COUNTED.as_dict()] == replay["past_runs"]
    assert "2013-01-01T15:00:00Z" == replay["next"]


async def test_the_page_of_replays_says_how_long_each_took_and_when_the_next_one_is(
    served: Served,
) -> None:
    empty = (await served.get("/replays")).text
    assert "No replay has ended since" in empty
    assert "no schedule is known" in empty

    await keep(served, COUNTED, FAILED)
    _, row, _, *past = Cells((await served.get("/replays")).text).rows
    assert ["rides", "none yet: fastdata replay", "1 hour"] == row[:3]
    assert row[3].startswith("was due at 2013-01-01 15:00:00, ")
    done = "2 hours counted, 0 confirmed"
    assert [
        ["2013-01-01 15:00:00", "rides", "-", "0.5 s", "failed: <b>a hole</b>", "0", "0", "0"],
        ["2013-01-01 12:00:00", "rides", "1", "6.2 s", done, "1,234", "3", "98,765"],
    ] == past

    await keep(served, PastRun(TWO, 0.1, next=now_ms() + HOUR))
    assert Cells((await served.get("/replays")).text).rows[1][3].startswith("by 2")


async def test_quality_is_what_verifications_stored(served: Served) -> None:
    assert [{"metric": "rides", "verified": None, "causes": []}] == (
        (await served.get("/api/v1/quality")).json()["metrics"]
    )
    await store_error(served)
    ((quality,), (none,)) = [
        (await served.get(f"/api/v1/quality{words}")).json()["metrics"]
        for words in ("", "?to=2013-01-01T12:00")
    ]
    assert [] == none["causes"]
    assert [
        {"measure": "n", "cause": "late", "rows": 1, "error": 0.25, "max_error": 0.25, "events": 0}
    ] == quality["causes"]


async def store_error(served: Served) -> None:
    errors = errors_of(served.metric)
    states = errors.zero(exact=True)
    errors.add_values(states, (0.25, 0.25, 0.25, None))
    total = Total(NOON, dump_dims(["n", "late", ""]), errors.dump(states))
    async with open_store(served.store) as store:
        await store.write_totals(errors.id, 1, {NOON: [total]})
        await store.publish(errors.id, [Flip(NOON, None, 1, Coverage({0: 3}), 1)])


async def test_a_server_that_can_answer_is_ready(served: Served) -> None:
    live, ready = await served.get("/health/live"), await served.get("/health/ready")
    assert (200, {"status": "live"}) == (live.status_code, live.json())
    assert (200, {"status": "ready", "problems": []}) == (ready.status_code, ready.json())


async def test_many_who_probe_read_the_store_once(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, made = operations._problems, []

    async def counted(desk: Desk) -> Any:
        made.append(desk)
        return await read(desk)

    monkeypatch.setattr(operations, "_problems", counted)
    monkeypatch.setattr(recent, "_AGE_S", 600)
    for _ in range(3):
        probes = [served.get("/health/ready") for _ in range(10)]
        assert {200} == {probe.status_code for probe in await asyncio.gather(*probes)}
    assert 1 == len(made)


async def test_a_store_that_is_gone_is_said_and_answers_go_on_when_it_is_back(
    served: Served, tmp_path: Path
) -> None:
    words = "/api/v1/metrics/rides/query?every=all"
    assert 200 == (await served.get(words)).status_code
    (tmp_path / "store.db").rename(tmp_path / "away.db")
    ready = await served.get("/health/ready")
    assert (503, "not ready") == (ready.status_code, ready.json()["status"])
    assert "store.db" in ready.json()["problems"][0]
    assert 200 == (await served.get("/health/live")).status_code
    served.app.state.desk.looks._recent.clear()
    gone = await served.get(words)
    assert (503, "2") == (gone.status_code, gone.headers["retry-after"])
    (tmp_path / "away.db").rename(tmp_path / "store.db")
    served.app.state.desk.health._until = 0
    assert 200 == (await served.get("/health/ready")).status_code
    assert 200 == (await served.get(words)).status_code
