"""`fastdata replay` over an archive in a folder."""

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner

from fastdata.archive import open_archive_storage
from fastdata.batch.reports import MetricReport, ReplayProgress, ReplayReport
from fastdata.batch.schedule import ScheduledRun, Uncounted
from fastdata.cli.main import commands
from fastdata.cli.replay import progress_fields
from fastdata.cli.reporting import show_report
from fastdata.cli.schedule import show_run
from fastdata.coordinates.instants import DAY_MS, HOUR_MS
from fastdata.coordinates.segments import Coverage
from fastdata.errors import StoreUnavailableError
from tests.batch.sales import DAY, FIRST, Sales


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--every", "4h", "--from", "2013-01-01"], "--from cannot be combined with --every"),
        (["--every", "4h", "--resume"], "--resume cannot be combined with --every"),
        (["--window", "30d"], "--window belongs to --every"),
        (["--every", "often"], "not a duration: 'often'"),
        (["--every", "0h"], "it must be above 0"),
        (["--engine", "cells"], "'cells' is not one of 'rows', 'columns'"),
        (["--max-writes-per-s", "0"], "0 is not in the range x>=1"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: list[str], reason: str) -> None:
    done = CliRunner().invoke(commands, ["replay", *options])

    assert done.exit_code == 2
    assert reason in done.output


def test_what_is_older_than_the_window_is_a_warning_with_its_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    older = Uncounted("by_shop", 3, 1_200, DAY, DAY + 3 * HOUR_MS)
    started = DAY + 40 * DAY_MS

    show_run(ScheduledRun(started, DAY + 10 * DAY_MS, uncounted=(older,), next=started + HOUR_MS))

    assert capsys.readouterr().out == (
        "2013-02-10 00:00 UTC\n"
        "warning: by_shop: 1,200 events in 3 hours from 2013-01-01 00:00 to 2013-01-01 03:00 UTC "
        "are not counted, as the window begins at 2013-01-11 00:00; this counts them: "
        "fastdata replay --metric by_shop --from 2013-01-01T00:00 --to 2013-01-01T03:00\n"
        "the next run is at 2013-02-10 01:00 UTC\n"
    )


def test_a_run_that_failed_says_why_and_when_it_is_tried_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    error = StoreUnavailableError("cannot reach postgresql://me:secret@db/x")

    show_run(ScheduledRun(DAY, DAY, error=error, next=DAY + 30_000))

    said = capsys.readouterr()
    assert said.out == "2013-01-01 00:00 UTC\nthe next run is at 2013-01-01 00:00:30 UTC\n"
    assert said.err == "failed: cannot reach postgresql://***@db/x\n"


def test_a_run_that_took_too_long_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    show_run(ScheduledRun(DAY, DAY, next=DAY + HOUR_MS, is_overrun=True))

    assert capsys.readouterr().out.splitlines()[-1] == (
        "it took longer than the interval, so the next run is at 2013-01-01 01:00 UTC"
    )


def test_offsets_that_were_never_archived_are_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sales = Sales(tmp_path, open_archive_storage(str(tmp_path / "kept")))
    asyncio.run(sales.archive(FIRST, log_start=6))
    monkeypatch.setenv("FASTDATA_AGENTS", str(tmp_path / "agents"))
    monkeypatch.setenv("FASTDATA_ARCHIVE", str(tmp_path / "kept"))
    monkeypatch.setenv("FASTDATA_STORE", "memory:")

    done = CliRunner().invoke(commands, ["replay", "--metric", "by_shop", "--workers", "0"])

    assert done.exit_code == 0, done.output
    assert (
        "warning: offsets 0 to 5 of partition 0 were never archived; "
        "their events are not in the totals"
    ) in done.output


def test_longer_windows_are_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = open_archive_storage(str(tmp_path / "archive"))
    sales = Sales(tmp_path, archive, rollups='rollups=["day", "month"]')
    asyncio.run(sales.archive(FIRST))
    for name in ("AGENTS", "ARCHIVE", "STORE"):
        value = f"sqlite:///{tmp_path / 'store.db'}" if name == "STORE" else tmp_path / name.lower()
        monkeypatch.setenv(f"FASTDATA_{name}", str(value))
    command = ["replay", "--metric", "by_shop", "--workers", "0"]

    planned, done, again = (
        CliRunner().invoke(commands, [*command, *option]) for option in (["--dry-run"], [], [])
    )

    assert "  3 hours would be kept whole for longer windows\n" in planned.output
    assert "  3 hours kept whole for longer windows\n" in done.output
    assert "  2 longer windows would be made ready\n" in planned.output
    assert "  2 longer windows made ready\n" in done.output
    assert "longer windows" not in again.output


@pytest.mark.parametrize(
    ("coverage", "said"),
    [
        (Coverage(), "nothing to count yet: nothing is archived"),
        (Coverage({}, {0: 3}), "no events of that time are archived"),
    ],
)
def test_that_there_is_nothing_to_count_is_told_with_its_reason(
    capsys: pytest.CaptureFixture[str], coverage: Coverage, said: str
) -> None:
    metric = MetricReport("by_shop", "by_shop-0", coverage, segment_size=1_000)

    show_report(ReplayReport((metric,)))

    assert f"by_shop: {said}\n" in capsys.readouterr().out


def test_longer_windows_that_are_not_ready_are_told_of(capsys: pytest.CaptureFixture[str]) -> None:
    metric = MetricReport("by_shop", "by_shop-0", Coverage(), 0, DAY_MS, rollups_left=2)

    show_report(ReplayReport((metric,)))

    assert (
        "  0 longer windows made ready; 2 are not: too large, or replay all of their hours\n"
        in capsys.readouterr().out
    )


def test_where_there_is_nothing_the_archive_is_missed_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("agents").mkdir()
    Path("sale.avsc").write_text(
        '{"type": "record", "name": "Sale", "fields": [{"name": "at", "type": "long"}]}'
    )
    Path("agents/sales.py").write_text(
        "from fastdata import Metric, Source\n"
        'sales = Metric("sales", Source("s", topic="s", schema="sale.avsc", time="at"))\n'
    )

    done = CliRunner().invoke(commands, ["replay"])

    assert "there is no archive at" in str(done.exception)
    assert not Path("data").exists()


def test_the_bar_is_about_longer_windows_once_there_are_some() -> None:
    fields = progress_fields()

    folding = fields(ReplayProgress(5, 10, spans=1, total_spans=2))
    rolling = fields(ReplayProgress(10, 10, 2, 2, rollups=3, total_rollups=1_000))

    assert (folding["completed"], folding["total"]) == (5, 10)
    assert folding["description"] == "1 of 2 spans"
    assert rolling == {
        "completed": 3,
        "total": 1_000,
        "unit": "longer windows",
        "description": "rolling up",
    }
