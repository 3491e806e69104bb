"""`fastdata query`: the same answer in four formats, and errors without a traceback."""

import asyncio
import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

import fastdata
from fastdata import Metric
from fastdata.cli.main import main
from fastdata.cli.query import query
from fastdata.errors import QueryError
from fastdata.store.opening import open_store
from tests.answer.folder import make_folder
from tests.answer.trips import (
    NOON,
    SCHEMA,
    gap,
    partial,
    unfolded,
)

COUNTS = """
from fastdata import Count, Metric, Source

trips = Source("trips", topic="trips", schema="trip.avsc", time="at", id="id", segment_size=100)
counts = Metric("counts", trips, by=["city"], measures={"n": Count()})
"""
NOON_TO_TWO = ["--from", "2013-01-01T12:00Z", "--to", "2013-01-01T14:00Z"]


@pytest.fixture
def rides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Metric:
    monkeypatch.chdir(tmp_path)
    return make_folder(tmp_path)


async def lose(metric: Metric) -> None:
    async with open_store("sqlite:///store.db") as store:
        await store.upsert([unfolded(metric, NOON, "late", 4)], [])
        await store.record_gap(gap(350, 400))


async def fold(metric: Metric, city: str) -> None:
    async with open_store("sqlite:///store.db") as store:
        dims = (city, 1)[: len(metric.by)]
        await store.upsert([partial(metric, NOON, dims, [(1, None)])], [])


def run(*arguments: str) -> Result:
    return CliRunner().invoke(query, ["rides", *arguments], catch_exceptions=False)


@pytest.fixture
def counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Metric:
    """A folder with a metric that only counts, one partial of it, and a pandas that is slow."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "counts.py").write_text(COUNTS)
    (tmp_path / "trip.avsc").write_text(json.dumps(SCHEMA))
    (tmp_path / "fastdata.toml").write_text('store = "sqlite:///store.db"\n')
    (tmp_path / "pandas.py").write_text("raise SystemExit('pandas is loaded')\n")
    metric = fastdata.load("agents/counts.py").counts
    assert isinstance(metric, Metric)
    asyncio.run(fold(metric, "Oslo"))
    return metric


def test_some_dimensions_measures_and_rows_can_be_asked_for(rides: Metric) -> None:
    every = (*NOON_TO_TWO, "--by", "city")
    chosen = run(*every, "--where", "city = 'Oslo' or line = 2", "--measures", "riders,n", "--json")
    rows = json.loads(chosen.stdout)["rows"]
    assert [("Oslo", 2, 2), (None, 0, 1)] == [(r["city"], r["riders"], r["n"]) for r in rows]
    assert "km" not in rows[0]
    first = run(*every, "--order", "km desc, city", "--limit", "2")
    assert ["Oslo", ""] == [line.split("  ")[1].strip() for line in first.stdout.splitlines()[2:4]]
    assert "first 2 rows, 1 exact" in first.stdout


def test_of_several_conditions_all_must_hold(rides: Metric) -> None:
    both = "--where", "city = 'Oslo' or line = 2", "--where", "line = 2"
    answer = json.loads(run(*NOON_TO_TWO, "--by", "city", *both, "--json").stdout)
    assert [None] == [row["city"] for row in answer["rows"]]
    assert "(city = 'Oslo' or line = 2) AND (line = 2)" == answer["where"]


def test_measures_that_are_none_are_refused(rides: Metric) -> None:
    with pytest.raises(QueryError, match="measures is empty"):
        run("--measures", ",")


def test_a_condition_that_is_none_is_shown_with_its_place(rides: Metric) -> None:
    with pytest.raises(QueryError, match=r"(?s)there is no dimension 'town'.*\^\^\^\^"):
        run("--where", "town = 'Oslo'")


def test_the_table_shows_rows_and_how_sure_they_are(rides: Metric) -> None:
    shown = run(*NOON_TO_TWO, "--by", "city")
    lines = [re.split(r"\s{2,}", line.strip()) for line in shown.stdout.splitlines()]
    assert 0 == shown.exit_code
    assert [
        ["window", "city", "n", "km", "mean", "longest", "riders"],
        ["2013-01-01 12:00", "Oslo", "2", "1,212", "606.000", "1,207", "2", "exact"],
        ["2013-01-01 13:00", "-", "1", "0", "-", "-", "0", "exact"],
        ["2013-01-01 13:00", "1", "2", "2.000", "2", "1", "fresh"],
    ] == [lines[0], *lines[2:5]]
    footer = shown.stdout.splitlines()[-1]
    assert footer.startswith(
        f"3 rows, 2 exact · fresh until 2013-01-01 14:00 UTC · "
        f"read until 2013-01-01 14:00 UTC · no gaps · {rides.id} · "
    )


@pytest.mark.parametrize(
    ("end", "state"),
    [("14:00", "fresh"), ("14:01", "in progress"), ("15:00", "in progress")],
)
def test_a_window_that_is_not_over_when_fresh_until_ends_is_in_progress(
    rides: Metric, end: str, state: str
) -> None:
    asked = "--from", "2013-01-01T13:00", "--to", f"2013-01-01T{end}", "--every", "all"
    assert run(*asked).stdout.splitlines()[2].endswith(f"   {state}")
    record = run(*asked, "--format", "records").stdout.splitlines()[0]
    assert record.startswith(f"── 1 · {state} ─")
    assert not json.loads(run(*asked, "--json").stdout)["rows"][0]["exact"]


def test_the_table_shows_bounds_where_something_is_missing(rides: Metric) -> None:
    asyncio.run(lose(rides))
    shown = run(*NOON_TO_TWO)
    first, second = shown.stdout.splitlines()[2:4]
    assert "2 [2, 56]" in first
    assert "1,212 [?, ?]" in first
    assert [first.split()[-1], second.split()[-1]] == ["gap", "gap"]
    footer = shown.stdout.splitlines()[-1]
    assert "2 rows, 0 exact" in footer
    assert "4 late or future events left to batch" in footer
    assert "2 with gaps" in footer


def test_a_table_in_a_pipe_is_not_cut_at_80_characters(rides: Metric) -> None:
    city = "Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch, " + "far " * 20 + "away"
    asyncio.run(fold(rides, city))
    assert city in run("--by", "city").stdout


def test_a_table_shows_markup_and_control_characters_as_they_are(rides: Metric) -> None:
    asyncio.run(fold(rides, "[bold]x[/bold] \x1b[31m\x07"))
    assert r"[bold]x[/bold] \x1b[31m\x07" in run("--by", "city").stdout


def test_json_is_one_object_with_rows(rides: Metric) -> None:
    answer = json.loads(run(*NOON_TO_TWO, "--every", "all", "--json").stdout)
    assert 0 <= answer.pop("took_s") < 60
    assert {
        "metric": "rides",
        "definition": rides.id,
        "start": "2013-01-01T12:00:00Z",
        "end": "2013-01-01T14:00:00Z",
        "every": "all",
        "rolling": None,
        "zone": "UTC",
        "by": [],
        "where": None,
        "order": [],
        "limit": None,
        "fresh_until": "2013-01-01T14:00:00Z",
        "read_until": "2013-01-01T14:00:00Z",
        "unfolded": 0,
        "replayed": [{"start": "2013-01-01T12:00:00Z", "end": "2013-01-01T14:00:00Z"}],
        "gaps": [],
        "earlier": None,
        "rows": [
            {
                "window_start": "2013-01-01T12:00:00Z",
                "window_end": "2013-01-01T14:00:00Z",
                "n": 4,
                "n_lower": 4,
                "n_upper": 4,
                "km": 1214,
                "km_lower": 1214,
                "km_upper": 1214,
                "mean": 1214 / 3,
                "mean_lower": 1214 / 3,
                "mean_upper": 1214 / 3,
                "longest": 1207,
                "longest_lower": 1207,
                "longest_upper": 1207,
                "riders": 2,
                "riders_lower": 2,
                "riders_upper": 2,
                "exact": False,
                "fresh_until": "2013-01-01T14:00:00Z",
                "read_until": "2013-01-01T14:00:00Z",
                "gap": False,
            }
        ],
    } == answer


def test_csv_tells_null_from_empty(rides: Metric) -> None:
    text = run(*NOON_TO_TWO, "--by", "city", "--format", "csv").stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [("Oslo", "2", "true"), ("", "1", "true"), ("", "1", "false")] == [
        (row["city"], row["n"], row["exact"]) for row in rows
    ]
    assert '"2013-01-01T13:00:00Z","2013-01-01T14:00:00Z",,1,' in text
    assert '"2013-01-01T13:00:00Z","2013-01-01T14:00:00Z","",1,' in text


def test_parquet_to_a_file(rides: Metric) -> None:
    shown = run(*NOON_TO_TWO, "--format", "parquet", "--output", "out.parquet")
    assert ("", "2 rows written to out.parquet\n") == (shown.stdout, shown.stderr)
    assert [2, 2] == pq.read_table("out.parquet").column("n").to_pylist()


def test_parquet_to_a_pipe(rides: Metric) -> None:
    shown = run(*NOON_TO_TWO, "--every", "all", "--format", "parquet")
    assert [4] == pq.read_table(io.BytesIO(shown.stdout_bytes)).column("n").to_pylist()


def test_dimensions_are_separated_by_commas_or_given_again(rides: Metric) -> None:
    commas = json.loads(run("--by", "city, line", "--json").stdout)
    again = json.loads(run("--by", "city", "--by", "line", "--json").stdout)
    assert ["city", "line"] == commas["by"] == again["by"]
    assert 3 == len(commas["rows"]) == len(again["rows"])


def test_without_a_range_everything_stored_is_answered(rides: Metric) -> None:
    answer = json.loads(run("--every", "1d", "--json").stdout)
    assert ("2013-01-01T12:00:00Z", "2013-01-01T14:00:00Z") == (answer["start"], answer["end"])


def shown_windows(*arguments: str) -> list[str]:
    """Title and windows of the table."""
    title, _, *lines, _ = run(*arguments).stdout.splitlines()
    return [re.split(r"\s{2,}", line.strip())[0] for line in (title, *lines) if line.strip()]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--every", "day", "--from", "2013-01-01"], ["window", "2013-01-01"]),
        (["--every", "day"], ["window", "2013-01-01 from 12:00"]),
        (
            ["--every", "week", "--from", "2012-01-01"],
            ["window", "2012-12-31 until 2013-01-02 18:00"],
        ),
        (
            ["--every", "month", "--from", "2012-01-01"],
            ["window", "2013-01 until 2013-01-02 18:00"],
        ),
        (["--every", "1h", "--from", "2013-01-01T12:30"], ["window", "2013-01-01 13:00"]),
        (
            ["--every", "day", "--rolling", "7d", "--from", "2013-01-02"],
            ["7d to", "2013-01-02 until 18:00"],
        ),
        (
            ["--every", "day", "--from", "2012-01-01", "--zone", "Pacific/Kiritimati"],
            ["window (Pacific/Kiritimati)", "2013-01-02 until 18:00"],
        ),
        (
            ["--every", "1h", "--zone", "Asia/Kolkata"],
            ["window (Asia/Kolkata)", "2013-01-01 17:30", "2013-01-01 18:30"],
        ),
        (
            ["--every", "all", "--from", "2013-01-01T17:30", "--zone", "Asia/Kolkata"],
            ["window (Asia/Kolkata)", "2013-01-01 17:30"],
        ),
    ],
)
def test_a_table_shows_windows_as_the_zone_has_them(
    rides: Metric, arguments: list[str], expected: list[str]
) -> None:
    end = ["--to", "2013-01-02T18:00"]
    assert expected == shown_windows(*arguments, *end)


def test_json_has_instants_in_utc_and_says_the_zone(rides: Metric) -> None:
    asked = ["--every", "day", "--rolling", "2d", "--zone", "Asia/Kolkata", "--from", "2013-01-02"]
    answer = json.loads(run(*asked, "--to", "2013-01-03", "--json").stdout)
    assert ["day", "2d", "Asia/Kolkata"] == [answer[key] for key in ("every", "rolling", "zone")]
    [row] = answer["rows"]
    assert ["2012-12-31T18:30:00Z", "2013-01-02T18:30:00Z", 4] == [
        row[key] for key in ("window_start", "window_end", "n")
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rydes"], "no metric 'rydes'; did you mean 'rides'?"),
        (["rides", "--by", "town"], "no dimension 'town'; its dimensions are: city, line"),
        (["rides", "--by", "City"], "'City'; did you mean 'city'? Its dimensions are: city, line"),
        (["rides", "--measures", "longst"], "'longst'; did you mean 'longest'? Its measures are:"),
        (
            ["rides", "--order", "riderz desc"],
            "'riderz'; did you mean 'riders'? What they can be by",
        ),
        (["rides", "--item", "ridrs=x"], "'ridrs' that can be asked about an item; did you mean"),
        (["rides", "--every", "1s"], "every is 1s; it must be"),
        (["rides", "--zone", "Mars"], "zone: 'Mars' is no time zone: write a name of the IANA"),
        (["rides", "--rolling", "30d"], "every is 1h: there is a row of rolling days for each day"),
        (["rides", "--from", "2013-13-01"], "start: not a date or time: '2013-13-01'"),
        (["rides", "--json", "--output", "no/such/folder"], "No such file or directory"),
    ],
)
def test_an_error_is_one_line_and_exit_code_1(
    rides: Metric,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["fastdata", "query", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    shown = capsys.readouterr()
    assert (1, "", 1) == (caught.value.code, shown.out, len(shown.err.splitlines()))
    assert message in shown.err


@pytest.mark.parametrize("form", ["table", "json", "csv", "parquet"])
def test_a_query_loads_nothing_that_its_measures_do_not_need(counts: Metric, form: str) -> None:
    code = (
        "import sys; from fastdata.__main__ import main\n"
        "try: main()\n"
        "finally: print(*sys.modules, file=sys.stderr)"
    )
    words = ["query", "counts", "--by", "city", "--format", form]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, check=True)

    loaded = set(done.stderr.decode().split())
    assert b"Oslo" in done.stdout
    assert "pyarrow" in loaded
    assert loaded & {
        "aiokafka", "asyncpg", "cassandra", "confluent_kafka", "datafusion", "datasketches",
        "faust", "mode", "obstore", "pandas", "rbloom", "rocksdict", "sqlglot",
    } == set()  # fmt: skip


def test_pandas_is_spared_only_while_arrow_looks_for_it(tmp_path: Path) -> None:
    (tmp_path / "pandas.py").write_text("__version__ = 'of the user'\n")
    code = (
        "import sys; from fastdata.cli.query import spare_pandas\n"
        "spare_pandas(); print('pandas' in sys.modules)\n"
        "import pandas; print(pandas.__version__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines() == ["False", "of the user"]


def test_a_store_that_does_not_exist_is_not_made(
    rides: Metric, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("store.db").unlink()
    monkeypatch.setattr(sys, "argv", ["fastdata", "query", "rides"])
    with pytest.raises(SystemExit):
        main()
    assert "there is no store at" in capsys.readouterr().err
    assert not Path("store.db").exists()


def test_a_state_that_was_damaged_in_the_store_is_an_error(
    rides: Metric, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = Path("store.db").read_bytes()
    assert 1 == content.count(b"anna\xffben\xff")
    Path("store.db").write_bytes(content.replace(b"anna\xffben\xff", b"anna\xffbob\xff"))
    monkeypatch.setattr(sys, "argv", ["fastdata", "query", "rides"])
    with pytest.raises(SystemExit):
        main()
    assert "checksum" in capsys.readouterr().err
