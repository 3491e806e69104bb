"""What each check of the doctor finds, and that nothing keeps it from result the rest."""

import asyncio
import fcntl
from pathlib import Path

import pytest

from fastdata import Settings
from fastdata.errors import StoreUnavailableError
from fastdata.operate.checks import checks_of, versions
from fastdata.operate.doctor import Check, CheckResult, Level, Outcome, examine, fine
from fastdata.speed.topic_rules import (
    Topic,
    flaws_of,
    flaws_of_source,
    for_changelog,
    for_letters,
    misfit_of,
)
from fastdata.store.opening import open_store

FLIGHTS = Topic("flights", 4, 3, {"cleanup.policy": "delete", "retention.ms": "604800000"})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "schemas").mkdir()
    return Settings.load(
        broker="127.0.0.1:1", registry=str(tmp_path / "schemas"), archive=str(tmp_path / "kept"),
        store=f"sqlite:///{tmp_path}/store.db", state=str(tmp_path / "state"),
    )  # fmt: skip


async def examined(check: Check) -> list[Outcome]:
    return await check()


async def test_a_check_that_fails_or_hangs_keeps_no_other_from_its_finding() -> None:
    async def refused() -> list[Outcome]:
        raise StoreUnavailableError("the store at db://me:secret@host is away: start it")

    async def broken() -> list[Outcome]:
        raise ZeroDivisionError("by zero")

    async def hanging() -> list[Outcome]:
        await asyncio.Event().wait()
        return []

    async def well() -> list[Outcome]:
        return [fine("all is there")]

    checks = {"a": refused, "b": broken, "c": hanging, "d": well}
    assert await examine(checks, limit_s=0.1) == [
        CheckResult("a", Level.FAILED, "the store at db://***@host is away: start it"),
        CheckResult("b", Level.FAILED, "the check itself failed: ZeroDivisionError: by zero"),
        CheckResult(
            "c", Level.FAILED,
            "no answer within 0.1 s: see whether what it asks is overloaded", is_late=True,
        ),
        CheckResult("d", Level.OK, "all is there"),
    ]  # fmt: skip


async def test_what_is_installed_is_what_was_tried() -> None:
    ((level, text),) = await versions()

    assert level == Level.OK
    assert "faust-streaming 0.15.3" in text


async def test_a_broker_that_is_away_says_so_and_names_the_setting(settings: Settings) -> None:
    (result,) = await examine({"broker": checks_of(settings, None)["broker"]})

    assert result.level == Level.FAILED
    assert "nobody listens there; see FASTDATA_BROKER" in result.text


def test_an_archive_is_probed_and_left_as_it_was(settings: Settings) -> None:
    check = checks_of(settings, None)["archive"]
    ((level, text),) = asyncio.run(examined(check))
    assert (level, "there is no archive at" in text) == (Level.WARNING, True)

    folder = Path(settings.archive)
    folder.mkdir()
    ((level, text),) = asyncio.run(examined(check))
    assert (level, "was written, not overwritten, read and deleted" in text) == (Level.OK, True)
    assert [path for path in folder.rglob("*") if path.is_file()] == []


async def test_a_store_is_made_by_others(settings: Settings) -> None:
    check = checks_of(settings, None)["store"]
    assert [level for level, _ in await check()] == [Level.WARNING]
    assert [level for level, _ in await check()] == [Level.WARNING]

    async with open_store(settings.store):
        pass
    ((level, text),) = await check()
    assert (level, "writing was not tried" in text) == (Level.OK, True)


def test_running_workers_are_counted_by_their_locks(settings: Settings) -> None:
    for number in range(2):
        folder = Path(settings.state) / f"worker-{number}"
        folder.mkdir(parents=True)
        (folder / "lock").touch()
    with (folder / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        outcomes = asyncio.run(examined(checks_of(settings, None)["state"]))

    assert outcomes[0][1].endswith("free; folders of running workers: 1")


def test_a_state_folder_that_is_a_file_is_a_failure(settings: Settings) -> None:
    Path(settings.state).touch()
    ((level, text),) = asyncio.run(examined(checks_of(settings, None)["state"]))

    assert (level, text.endswith("see FASTDATA_STATE")) == (Level.FAILED, True)


def test_a_topic_as_it_is_made_has_no_flaw() -> None:
    changelog = Topic("changelog", 4, 3, for_changelog(FLIGHTS))
    letters = Topic("flights.dead-letters", 4, 3, for_letters(FLIGHTS))

    assert list(flaws_of_source(FLIGHTS)) == []
    assert list(flaws_of(changelog, FLIGHTS, for_changelog(FLIGHTS))) == []
    assert list(flaws_of(letters, FLIGHTS, for_letters(FLIGHTS))) == []
    assert misfit_of(FLIGHTS, changelog) is None


def test_what_loses_events_is_a_flaw_with_the_command_that_mends_it() -> None:
    short = Topic("flights", 4, 3, {"cleanup.policy": "delete", "retention.ms": "60000"})
    (flaw,) = flaws_of_source(short)

    assert (flaw.text.startswith("topic flights has retention.ms=60000"), flaw.is_fatal) == (
        True, False,
    )  # fmt: skip
    assert flaw.cure("kafka:9092").endswith("--add-config retention.ms=604800000")


def test_a_changelog_that_is_not_compacted_late_and_copied_has_flaws() -> None:
    wanted = for_changelog(FLIGHTS)
    wrong = Topic("changelog", 3, 1, {**wanted, "cleanup.policy": "delete"} | {
        "min.compaction.lag.ms": "0", "max.message.bytes": "1048588",
    })  # fmt: skip
    flaws = list(flaws_of(wrong, FLIGHTS, wanted))

    assert [(flaw.setting, flaw.is_fatal) for flaw in flaws] == [
        ("cleanup.policy=compact", True),
        ("min.insync.replicas=2", True),
        ("min.compaction.lag.ms=3600000", False),
        ("max.message.bytes=2097152", False),
        ("", False),
    ]
    assert "they must be equal" in (misfit_of(FLIGHTS, wrong) or "")
