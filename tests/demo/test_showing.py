"""What a demo prints, from an outcome made by hand."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from fastdata.demo.answers import Answer, published_numbers
from fastdata.demo.flights import PUBLISHED
from fastdata.demo.outcome import Moment, Outcome
from fastdata.demo.screen import Screen, show_outcome
from fastdata.operate.status import PartitionStatus, SourceStatus


def status(folded: int, archived: int) -> SourceStatus:
    partition = PartitionStatus(
        0, log_start=0, log_end=336_776, folded=folded, archived=archived, closed=330_000,
        covered=330_000, lag=336_776 - folded, lag_s=1.5,
        read_age_s=1.5, archive_lag=336_776 - archived, archive_lag_s=1.5,
    )  # fmt: skip
    return SourceStatus(
        "flights", "flights", (partition,), (), {"late": 3, "dead:malformed": 2}, {}
    )


@pytest.fixture
def outcome() -> Outcome:
    fresh = []
    for published in PUBLISHED:
        values = {
            name: (value, value, value) for name, value in published_numbers(published).items()
        }
        aircraft = published.aircraft
        values["aircraft"] = (aircraft + 40, aircraft - 150, aircraft + 150)
        fresh.append(Answer(published.month, values, exact=False))
    replayed = [
        Answer(
            one.month, {name: (v, v, v) for name, v in published_numbers(one).items()}, exact=True
        )
        for one in PUBLISHED
    ]
    return Outcome(
        Path("/data/flights"),
        tuple(fresh),
        tuple(replayed),
        status(336_776, 336_776),
        {"start": 2.0, "send and fold": 40.0},
        {"metrics": [{"duplicates": 7}]},
        {"worker": 200},
    )


def printed(outcome: Outcome, is_kept: bool) -> list[str]:
    console = Console(file=io.StringIO(), width=80)
    show_outcome(console, outcome, is_kept)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_fresh_replayed_and_published_stand_below_each_other_in_80_columns(
    outcome: Outcome,
) -> None:
    lines = printed(outcome, is_kept=True)
    start = next(number for number, line in enumerate(lines) if line.startswith("2013"))
    assert [" ".join(line.split()) for line in lines[start : start + 3]] == [
        "2013 fresh 336,776 350,217,607 12.64 1,301 4,083 [3,893, 4,193] no",
        "replayed 336,776 350,217,607 12.64 1,301 4,043 yes",
        "published 336,776 350,217,607 12.64 1,301 4,043",
    ]
    assert not any("…" in line for line in lines)


def test_the_drift_is_told_by_cause(outcome: Outcome) -> None:
    text = "\n".join(printed(outcome, is_kept=True))
    assert "late, left to the replay  3 events" in text
    assert "repeats, counted once     7 events" in text
    assert "dead letters              2 events" in text
    assert "1.30% off at most; published within the bounds 13 of 13 times" in text
    assert "not yet replayed          6,776 events\n" in text


def test_times_speed_and_memory_are_told(outcome: Outcome) -> None:
    lines = printed(outcome, is_kept=True)
    assert "Time: start 2.0 s, send and fold 40.0 s" in lines
    assert "Speed: 8,419 events/s, folded and archived" in lines
    assert "Most memory: worker 200 MiB" in lines


def test_what_to_try_next_begins_in_the_folder_that_was_kept(outcome: Outcome) -> None:
    assert "  cd /data/flights" in printed(outcome, is_kept=True)
    assert "  fastdata demo --dir flights; cd flights" in printed(outcome, is_kept=False)


def test_the_screen_shows_where_the_events_are() -> None:
    file = io.StringIO()
    console = Console(file=file, width=80, force_terminal=True, color_system=None)
    moment = Moment(336_776, 0, status(0, 0), None, at_s=0.0, moved_s=0.0)
    with Screen(console) as screen:
        screen.begin("send and fold")
        screen.show(moment.next(300_000, status(200_000, 250_000), None, at_s=2.0))
    assert "300000/336776" in file.getvalue()
    assert "lag 136,776 events, 1.5 s" in file.getvalue()


def test_a_moment_is_done_when_both_layers_have_everything() -> None:
    moment = Moment(336_776, 336_776, status(336_776, 336_775), None, at_s=0.0, moved_s=0.0)
    assert not moment.is_done
    assert moment.next(336_776, status(336_776, 336_776), None, at_s=1.0).is_done


def test_a_moment_knows_when_something_last_moved() -> None:
    first = Moment(336_776, 10, status(5, 5), None, at_s=1.0, moved_s=1.0)
    still = first.next(10, status(5, 5), None, at_s=2.0)
    moved = still.next(10, status(6, 5), None, at_s=3.0)
    assert (still.moved_s, moved.moved_s) == (1.0, 3.0)
