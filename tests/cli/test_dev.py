"""`fastdata dev`: everything for a project, with nothing else installed."""

import json
import signal
import time
from pathlib import Path

import pytest

from fastdata.archive import load_epochs, open_archive_storage
from tests.support.developing import Place, are_gone, totals


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_file_is_loaded_and_its_answer_is_exact(place: Place) -> None:
    amount = place.write("a.jsonl", range(2_000))

    with place.dev("--load", "a.jsonl", "--exit") as dev:
        (row,) = dev.rows()

    assert totals(row) == (2_000, amount, True)
    assert dev.said[-1]["text"].startswith("ended exact: 2,000 events, 2,000 folded, 2,000 arch")
    assert {line["part"] for line in dev.said} <= {"dev", "worker"}


@pytest.mark.processes
async def test_the_next_start_counts_on_in_a_new_epoch(place: Place) -> None:
    amount = sum(place.write(name, numbers) for name, numbers in (
        ("a.jsonl", range(3_000)), ("b.jsonl", range(2_900, 5_000)),
    )) - sum(range(2_900, 3_000))  # fmt: skip

    for name in ("a.jsonl", "b.jsonl"):
        with place.dev("--load", name, "--exit") as dev:
            (row,) = dev.rows()

    # A hundred of them came twice, once in each epoch.
    assert totals(row) == (5_000, amount, True)
    epochs = await load_epochs(open_archive_storage(str(place.folder / "data/archive")), "clicks")
    assert [epoch.first for epoch in epochs] == [0, 1_000]


@pytest.mark.processes
def test_a_killed_one_leaves_no_process_behind_and_all_that_is_archived_counts(
    place: Place,
) -> None:
    place.write("a.jsonl", range(100_000))
    with place.dev("--load", "a.jsonl", "--rate", "500") as dev:
        dev.wait_for_text("first numbers")
        children = dev.children()
        dev.process.kill()
        with place.dev("--exit") as again:
            (row,) = again.rows()

    assert len(children) >= 3
    assert are_gone(children)
    (lost,) = [line["text"] for line in again.said if "did not end in order" in line["text"]]
    assert 0 < row["n"] < 100_000
    assert f"{row['n']:,} of its events are archived" in lost
    assert row["exact"]


@pytest.mark.processes
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_all_in_order_and_exact(place: Place, number: signal.Signals) -> None:
    place.write("a.jsonl", range(100_000))
    with place.dev("--load", "a.jsonl", "--rate", "500") as dev:
        dev.wait_for_text("first numbers")
        children = dev.children()
        assert dev.end(number) == 0

    last = dev.said[-1]
    assert last["text"].startswith("ended exact: ")
    assert last["events"] == last["folded"] == last["archived"] == last["counted"]
    assert are_gone(children)
    n = place.answer()["n"]
    assert totals(place.answer()) == (last["events"], sum(range(n)), True)


@pytest.mark.processes
def test_a_second_signal_ends_all_at_once(place: Place) -> None:
    place.write("a.jsonl", range(100_000))
    with place.dev("--load", "a.jsonl", "--rate", "500") as dev:
        dev.wait_for_text("ready in")
        children = dev.children()
        dev.process.send_signal(signal.SIGINT)
        dev.wait_for_text("ending")
        assert dev.end() == 130

    deadline = time.monotonic() + 60
    while not are_gone(children):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.processes
def test_a_part_that_dies_is_started_again_and_said(place: Place) -> None:
    amount = place.write("a.jsonl", range(4_000))
    with place.dev("--load", "a.jsonl", "--rate", "200") as dev:
        dev.wait_for_text("first numbers")
        dev.part("worker").kill()
        dev.part("archive").kill()
        dev.wait_for_text("4,000 events are sent")
        assert dev.end() == 0

    for part in ("worker", "archive"):
        again = f"{part} was killed by signal 9; it is started again in 1 s"
        assert again in [line["text"] for line in dev.said]
    assert totals(place.answer()) == (4_000, amount, True)


@pytest.mark.processes
def test_more_than_the_broker_keeps_is_loaded_no_faster_than_it_is_read(place: Place) -> None:
    amount = place.write("a.jsonl", range(40_000), rest_bytes=800)
    assert 40_000 * 800 > 20 << 20  # which it keeps of four partitions

    with place.dev("--load", "a.jsonl", "--exit") as dev:
        (row,) = dev.rows()

    assert totals(row) == (40_000, amount, True)


@pytest.mark.processes
def test_a_line_that_does_not_fit_is_told_and_those_before_it_count(place: Place) -> None:
    amount = place.write("a.jsonl", range(1_500))
    with (place.folder / "a.jsonl").open("a") as file:
        file.write('{"id": "x"}\n')

    with place.dev("--load", "a.jsonl", "--exit") as dev:
        dev.wait_for_text("1 rows are left out, the first is 1,501: ")
        assert dev.process.wait(240) == 1

    assert dev.said[-1]["text"].startswith("ended exact: 1,500 events")
    assert totals(place.answer()) == (1_500, amount, True)


@pytest.mark.processes
def test_changed_declarations_are_taken_up_and_wrong_ones_told(place: Place) -> None:
    place.write("a.jsonl", range(1_000))
    before = place.agents.read_text()
    with place.dev("--load", "a.jsonl") as dev:
        dev.wait_for(lambda line: line.get("counted") == 1_000)
        place.agents.write_text(before.replace("Count()", "Kount()"))
        dev.wait_for_text("clicks.py:4: NameError: name 'Kount' is not defined")

        more = before.replace('"n": Count()', '"n": Count(), "all": Sum("amount")')
        place.agents.write_text(more)
        dev.wait_for_text("all begin again with totals")
        taken_up = len(dev.said)
        dev.wait_for(lambda _: dev.said[-1].get("counted") == 1_000 and len(dev.said) > taken_up)
        row = place.answer()
        assert dev.end() == 0

    assert (row["n"], row["all"], row["exact"]) == (1_000, sum(range(1_000)), True)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--load", "missing.jsonl"], "there is no file missing.jsonl"),
        (["--load", "visits=a.jsonl"], "there is no file visits=a.jsonl"),
        (["--load", "a.jsonl"], "of which source is a.jsonl? Write SOURCE=a.jsonl; the sources"),
    ],
)
def test_a_load_of_nothing_is_told_before_anything_starts(
    place: Place, options: list[str], problem: str
) -> None:
    place.write("a.jsonl", range(1))
    other = place.agents.read_text().replace('"clicks"', '"others"').replace("totals", "sums")
    (place.folder / "agents/others.py").write_text(other)

    with place.dev(*options) as dev:
        assert dev.process.wait(120) == 2

    assert problem in (place.folder / "log").read_text()
    assert not (place.folder / "data").exists()


def test_a_folder_without_agents_is_told(place: Place) -> None:
    place.agents.unlink()
    (place.folder / "agents").rmdir()

    with place.dev() as dev:
        assert dev.process.wait(120) == 1

    assert "or make one with `fastdata init`" in (place.folder / "log").read_text()


def test_a_broker_that_is_away_is_told_with_the_way_to_do_without(place: Place) -> None:
    (place.folder / "fastdata.toml").write_text('broker = "127.0.0.1:1"')

    with place.dev() as dev:
        assert dev.process.wait(120) == 1

    text = (place.folder / "log").read_text()
    assert "127.0.0.1:1" in text
    assert "and broker in fastdata.toml, `fastdata dev` has a broker of its own" in text


def test_the_archive_of_another_broker_is_left_alone(place: Place) -> None:
    epochs = place.folder / "data/archive/epochs/clicks"
    epochs.mkdir(parents=True)
    log = {"cluster": "production", "topic": "12", "first": 0, "begin": {}}
    (epochs / "epoch=0000000000.json").write_text(json.dumps(log))

    with place.dev() as dev:
        assert dev.process.wait(120) == 1

    text = (place.folder / "log").read_text()
    assert "counted from cluster production, topic id 12, and the embedded broker would" in text
