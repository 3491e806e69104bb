"""What `fastdata verify` says of numbers, items and texts, and while it runs."""

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner

from fastdata.cli.main import commands
from fastdata.cli.verify import _show
from fastdata.store.memory import MemoryStore
from fastdata.store.opening import open_store
from fastdata.verify.reports import (
    INCOMPARABLE,
    Fact,
    Finding,
    SpanReport,
    VerifiedMetric,
    VerifyProgress,
)
from tests.verify.clicks import MINUTE, START, Clicks

LISTED = """
from fastdata import First, TopK

listed = Metric(
    "listed", clicks, measures={"top": TopK("place", 3), "first": First("place")},
)
"""


def said(metric: VerifiedMetric, capsys: pytest.CaptureFixture[str]) -> list[str]:
    _show(metric)
    return [line.strip() for line in capsys.readouterr().out.splitlines()]


async def test_lists_of_items_and_texts_have_no_percentage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clicks = Clicks(tmp_path, MemoryStore(), LISTED)
    for n in range(10):
        clicks.send(300 + n, place="Oslo")
    for n in range(30):
        clicks.send(5, place=f"p{n}", came=START + 320 * MINUTE)
    clicks.send(300, place="Rome", id="twice", came=START + 321 * MINUTE)
    await clicks.fold()
    await clicks.replay()

    lines = said((await clicks.verify()).metrics[1], capsys)

    wrong = [line for line in lines if line.startswith(("top:", "first:"))]
    assert ["top: 1 of 11 rows were off before the replay"] == wrong[:1]
    assert "first: 1 of 11 rows were off before the replay" == wrong[1]
    assert "%" not in "".join(wrong)


async def test_that_no_segment_is_closed_yet_is_said_with_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clicks = Clicks(tmp_path, MemoryStore())
    for n in range(4):
        clicks.send(n)
    await clicks.fold()
    await clicks.replay(close=False)

    report = await clicks.verify()

    first, *_ = said(report.metrics[0], capsys)
    waits_for = (
        "only closed segments are compared, and none is counted yet: 6 events of a partition are "
        "missing to the first, of 10"
    )
    assert first.endswith(f"speed layer compared on 0 ({waits_for})")
    assert (INCOMPARABLE, waits_for) == (report.exit_code, report.metrics[0].as_dict()["waits_for"])
    await clicks.replay()
    assert (await clicks.verified()).waits_for is None


def test_errors_of_many_times_are_no_percentages(capsys: pytest.CaptureFixture[str]) -> None:
    span = SpanReport(0, facts=[Fact("a", "late", 13.09), Fact("b", "late", float("inf"))])

    lines = said(VerifiedMetric("m", "m-0", 1, spans=[span]), capsys)

    times = "13 times what is right"
    said_of_a = f"by {times} on average, {times} at most"
    assert f"a: 1 of 1 rows were off before the replay, {said_of_a}" in lines
    assert any(line.startswith("b: ") and "more than can be said" in line for line in lines)


def test_findings_are_shown_without_names_of_python(capsys: pytest.CaptureFixture[str]) -> None:
    finding = Finding("m", "batch", 0, "there", "top", (("a", None, True),), None, "wrong")
    span = SpanReport(0, findings=[finding])

    lines = said(VerifiedMetric("m", "m-0", 1, spans=[span]), capsys)

    where = "batch, hour 1970-01-01 00:00, there top"
    assert f'{where}: [["a", null, true]], expected null (wrong)' in lines


async def test_progress_is_told_from_the_beginning_to_the_end(tmp_path: Path) -> None:
    clicks = Clicks(tmp_path, MemoryStore())
    for n in range(20):
        clicks.send(30 * n)
    await clicks.fold()
    await clicks.replay()
    told: list[VerifyProgress] = []

    await clicks.verify(on_progress=told.append)

    assert VerifyProgress("clicks") == told[0]
    assert (48, 20) == (told[1].total_spans, told[1].total_events)
    assert (told[1].total_spans, 20) == (told[-1].spans, told[-1].events)
    assert [p.events for p in told] == sorted(p.events for p in told)


def test_a_terminal_shows_a_bar_and_machines_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def prepare() -> None:
        async with open_store(f"sqlite:///{tmp_path / 'store.db'}") as store:
            clicks = Clicks(tmp_path, store)
            for n in range(10):
                clicks.send(n)
            await clicks.fold()
            await clicks.replay()

    asyncio.run(prepare())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FORCE_COLOR", "1")  # what rich takes for a terminal
    shown = CliRunner().invoke(commands, ["verify", "--sample", "1"], catch_exceptions=False)
    machine = CliRunner().invoke(commands, ["verify", "--json"], catch_exceptions=False)

    assert "clicks: 1 of 1 hours" in shown.stderr
    assert "" == machine.stderr
