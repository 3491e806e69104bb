"""Which hours are verified, and what the command says and exits with."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from fastdata.cli.main import commands
from fastdata.coordinates.instants import to_datetime
from fastdata.errors import VerifyError
from fastdata.store.memory import MemoryStore
from fastdata.store.opening import open_store
from fastdata.store.protocol import ServingStore
from tests.verify.clicks import HOUR, MINUTE, START, Clicks


async def day(folder: Path, store: ServingStore) -> Clicks:
    """Ten hours with a click each, and a second replay that adds one to the last of them."""
    clicks = Clicks(folder, store)
    for n in range(10):
        clicks.send(60 * n)
    await clicks.fold()
    await clicks.replay()
    clicks.send(541)
    await clicks.fold()
    await clicks.replay()
    return clicks


async def spans(clicks: Clicks, **options: object) -> list[int]:
    report = await clicks.verify(**options)
    return [(span.span - START) // HOUR for span in report.metrics[0].spans if span.events]


async def test_a_sample_is_the_same_each_time(tmp_path: Path) -> None:
    clicks = await day(tmp_path, MemoryStore())
    once = await spans(clicks, sample=4)
    assert 4 == len(once)
    assert once == sorted(once) == await spans(clicks, sample=4)
    assert any([once != await spans(clicks, sample=4, seed=str(n)) for n in range(5)])
    assert list(range(10)) == await spans(clicks, sample=100) == await spans(clicks)


async def test_a_sample_begins_with_what_is_new(tmp_path: Path) -> None:
    clicks = await day(tmp_path, MemoryStore())
    assert all([[9] == await spans(clicks, sample=1, seed=str(n)) for n in range(5)])
    assert all([9 in await spans(clicks, sample=3, seed=str(n)) for n in range(5)])


async def test_a_range_is_widened_to_hours(tmp_path: Path) -> None:
    clicks = await day(tmp_path, MemoryStore())
    first, last = START + 2 * HOUR + MINUTE, START + 4 * HOUR + MINUTE
    assert [2, 3, 4] == await spans(clicks, start=first, end=last)


async def test_a_range_that_ends_before_it_begins_is_refused(tmp_path: Path) -> None:
    clicks = Clicks(tmp_path, MemoryStore())
    with pytest.raises(VerifyError, match="the range is empty: its end 2023-11-14 22:00 is not"):
        await clicks.verify(start=START, end=START - HOUR)


async def test_an_archive_that_is_not_the_stores_is_refused(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    clicks = await day(tmp_path / "one", MemoryStore())
    other = Clicks(tmp_path / "other", clicks.store)
    for n in range(10):
        other.send(60 * n)
    other.loop.log.fill(10)
    await other.loop.archive()
    clicks.loop.archived = other.loop.archived

    with pytest.raises(VerifyError, match="is this the archive of that store"):
        await clicks.verify()


@pytest.fixture
async def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a deployment on SQLite; it becomes the working folder."""
    async with open_store(f"sqlite:///{tmp_path / 'store.db'}") as store:
        clicks = await day(tmp_path, store)
        (total, *_) = (
            await store.read(clicks.visits.id, "", "clicks", START + HOUR, START + 2 * HOUR)
        ).totals
        states = clicks.visits.load(total.state)
        clicks.visits.merge(states, clicks.visits.load(total.state))
        (tmp_path / "doubled").write_bytes(clicks.visits.dump(states))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def verify(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(commands, ["verify", *words], catch_exceptions=False)
    return done.exit_code, done.output


@pytest.mark.usefixtures("folder")
def test_the_command_says_that_all_agrees() -> None:
    code, said = verify("--from", "2023-11-14T23:00", "--to", "2023-11-15T09:00")
    assert (0, True) == (code, "10 of 10 counted hours verified, 11 events" in said), said
    assert "speed layer compared on 1\n" in said
    assert "no unexplained difference" in said


def test_the_command_names_what_is_unexplained(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "store.db")) as database:
        named = "select metric from heads where metric like 'visits-____________'"
        (metric,) = set(database.execute(named))
        database.execute(
            "update totals set state = ? where metric = ? and window = ?",
            ((folder / "doubled").read_bytes(), *metric, START + HOUR),
        )
        database.commit()

    code, said = verify()

    assert code == 3, said
    hour = f"{to_datetime(START + HOUR):%Y-%m-%d %H:%M}"
    window = f"{to_datetime(START + HOUR):%Y-%m-%dT%H:%M}Z"
    assert "3 UNEXPLAINED" in said
    assert f'batch, hour {hour}, {window} ["Oslo"] clicks: 2, expected 1' in said


@pytest.mark.usefixtures("folder")
def test_the_command_says_when_nothing_can_be_compared() -> None:
    code, said = verify("--from", "2023-11-14T23:00", "--to", "2023-11-15T02:00")
    assert (4, True) == (code, "speed layer compared on 0" in said), said
    code, said = verify("--from", "2001-01-01", "--to", "2001-01-02")
    assert (4, True) == (code, "no hour of it is counted by a replay yet" in said), said
