"""`fastdata size`."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from fastdata.cli.main import commands

ROOT = Path(__file__).parents[2]
LOAD = ["size", "--source", "flights", "--events-per-s", "300", "--peak", "2000"]
LOAD += ["--keys", "10000"]


@pytest.fixture(autouse=True)
def checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_what_is_shown_can_be_read() -> None:
    shown = CliRunner().invoke(commands, LOAD).output.splitlines()

    assert shown[0] == "source flights: departures"
    assert "events         25,920,000 a day, 1,555,200,000 in 60 days" in shown
    assert "segment_size   100,000 offsets, open for 33.3 minutes" in shown


def test_json_has_all_numbers_of_the_source_that_is_named() -> None:
    found = json.loads(
        CliRunner().invoke(commands, [*LOAD, "--source", "page_views", "--json"]).output
    )

    assert (found["source"], found["metrics"]) == ("page_views", ["traffic", "audience"])
    assert (found["upserts_per_s"], found["segment_size"]) == (898, 100_000)  # of three sets


def test_the_metric_of_the_demo_stands_for_those_that_are_not_declared_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke(commands, LOAD)

    assert "there are no agents in agents" in run.stderr
    assert run.stdout.startswith("source flights: departures")


def test_a_source_that_is_not_declared_is_told() -> None:
    run = CliRunner().invoke(commands, [*LOAD, "--source", "flight"])

    assert run.exit_code == 2
    assert (
        "did you mean 'flights'? There are: access_log, flights, invoice_lines, lines, page_views"
        in run.stderr
    )


def test_the_page_shows_what_is_printed() -> None:
    printed = CliRunner().invoke(commands, LOAD).output

    assert f"```\n{printed}```" in (ROOT / "docs" / "production.md").read_text()
