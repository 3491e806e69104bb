"""What `fastdata query` says when there are no rows: what there is, and how to ask for it."""

import asyncio
import json
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner

from fastdata import Metric
from fastdata.cli.empty import why_empty
from fastdata.cli.query import query
from fastdata.cli.windows import RangeOptions
from fastdata.store.opening import open_store
from tests.answer.folder import make_folder


@pytest.fixture
def rides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Metric:
    monkeypatch.chdir(tmp_path)
    return make_folder(tmp_path)


def said(*arguments: str) -> str:
    """What stands where the number of rows would."""
    shown = CliRunner().invoke(query, ["rides", *arguments], catch_exceptions=False)
    assert 0 == shown.exit_code
    return shown.stdout.splitlines()[-1].partition(" · fresh until ")[0]


KNOWN = "rides knows 2013-01-01 12:00 to 2013-01-01 14:00"


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        (["--from", "2020-01-01"], "nothing from 2020-01-01 on"),
        (["--to", "2012-05-01"], "nothing before 2012-05-01"),
        (
            ["--from", "2013-01-01T14:00", "--to", "2013-01-02", "--every", "day"],
            "nothing between 2013-01-01 14:00 and 2013-01-02",
        ),
        (
            ["--to", "2012-05-01", "--last", "6h", "--where", "city = 'Oslo'"],
            "nothing between 2012-04-30 18:00 and 2012-05-01",
        ),
    ],
)
def test_a_range_beside_what_is_known_is_told_what_is(
    rides: Metric, arguments: list[str], asked: str
) -> None:
    options = "--from 2013-01-01T12:00 --to 2013-01-01T14:00"
    assert f"{asked}; {KNOWN}: ask for {options}" == said(*arguments)


def test_what_is_suggested_has_rows(rides: Metric) -> None:
    zone = ["--zone", "Asia/Kathmandu"]
    (_, options) = said("--last", "24h", *zone).split(": ask for ")
    assert "2 rows, 1 exact" == said(*options.split(), *zone)


def test_times_are_those_of_the_zone(rides: Metric) -> None:
    assert "rides knows 2013-01-01 17:45 to 2013-01-01 19:45 (Asia/Kathmandu): ask for" in said(
        "--from", "2020-01-01", "--zone", "Asia/Kathmandu"
    )


def test_a_condition_that_nothing_meets_is_named(rides: Metric) -> None:
    assert f"nothing meets city = 'Paris'; {KNOWN}" == said("--where", "city = 'Paris'")


def test_hours_between_others_of_which_nothing_is_known(rides: Metric) -> None:
    between = ["--from", "2013-01-01T13:30", "--to", "2013-01-01T14:00"]
    assert f"nothing between 2013-01-01 13:30 and 2013-01-01 14:00, though {KNOWN}" == said(
        *between
    )


def test_sides_of_a_comparison_that_have_nothing(rides: Metric) -> None:
    about = {"zone": "UTC", "left": {"city": "Paris"}, "right": {"city": "Rome"}}
    table = pa.table({}).replace_schema_metadata({b"fastdata": json.dumps(about)})
    asked: RangeOptions = {
        "start": None, "end": None, "last": None, "every": "all", "rolling": None, "zone": None,
    }  # fmt: skip

    async def why() -> str:
        async with open_store("sqlite:///store.db") as store:
            return await why_empty(rides, table, asked, store)

    assert f"nothing is of either side; {KNOWN}" == asyncio.run(why())


def test_a_metric_of_which_nothing_is_stored(rides: Metric) -> None:
    Path("store.db").unlink()
    asyncio.run(begin())
    assert said("--from", "2013-01-01").startswith(
        "nothing of rides is stored yet: fastdata worker"
    )


async def begin() -> None:
    async with open_store("sqlite:///store.db"):
        pass
