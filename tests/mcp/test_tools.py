"""What an assistant is answered, over stdio, of real flights in SQLite."""

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fastdata import load, query
from fastdata.answer.arrow import describe
from fastdata.answer.batches import json_rows
from fastdata.coordinates.instants import parse_instant
from fastdata.local.project import Project
from fastdata.store.opening import open_store
from tests.answer.trips import DECLARATION, SCHEMA
from tests.mcp.flights import FRESH, REPLAYED, Assistant, assisted, flights

DAY_ONE = {"from_": "2013-01-01", "to": "2013-01-02", "every": "all"}
FRESH_HOURS = {"from_": "2013-01-03", "every": "day"}


def test_it_lists_what_there_is_to_ask_and_writes_nothing(assistant: Assistant) -> None:
    tools = {tool.name: tool for tool in assistant.tools()}
    assert ["list_metrics", "query_metric", "read_status", "explain_difference"] == list(tools)
    hints = [tool.annotations and tool.annotations.read_only_hint for tool in tools.values()]
    assert [True] * 4 == hints
    words = tools["query_metric"].input_schema["properties"]
    assert {"metric", "from", "to", "last", "every", "by", "where", "order", "limit"} < set(words)
    assert ["metric"] == tools["query_metric"].input_schema["required"]
    assert "Begin with list_metrics" in (assistant.client.instructions or "")


def test_an_assistant_of_the_protocol_before_is_answered(folder: Path) -> None:
    with assisted(folder, mode="legacy") as assistant:
        assert "2025-11-25" == assistant.client.protocol_version
        assert 4 == len(assistant.tools())
        rows = assistant.ask("query_metric", metric="departures", **DAY_ONE)["rows"]
    assert [709] == [row["flights"] for row in rows]
    assert "" == (folder / "stderr").read_text()


def test_metrics_are_told_with_the_time_that_is_known_of_them(assistant: Assistant) -> None:
    (metric,) = assistant.ask("list_metrics")["metrics"]
    assert ("departures", "flights", "1m") == tuple(metric[n] for n in ("name", "source", "window"))
    assert ["origin", "carrier"] == [each["name"] for each in metric["dimensions"]]
    assert ["flights", "distance", "delay", "worst", "aircraft"] == [
        each["name"] for each in metric["measures"]
    ]
    assert {"start": "2013-01-01T00:00:00Z", "end": "2013-01-03T12:00:00Z"} == metric["stored"]
    assert {"start": "2013-01-01T00:00:00Z", "end": "2013-01-03T00:00:00Z"} == metric["replayed"]


def test_the_time_is_told_to_who_has_no_clock(assistant: Assistant) -> None:
    assert parse_instant(assistant.ask("list_metrics")["now"]) > parse_instant("2026-01-01")


def test_replayed_numbers_are_the_plain_count_and_have_no_bounds(assistant: Assistant) -> None:
    answer = assistant.ask("query_metric", metric="departures", by=["origin"], **DAY_ONE)
    start, end = parse_instant("2013-01-01"), parse_instant("2013-01-02")
    counted = Counter(
        str(flight.record["origin"])
        for flight in flights()
        if start <= int(str(flight.record["scheduled_departure"])) < end
    )
    assert sorted(counted.items()) == [(row["origin"], row["flights"]) for row in answer["rows"]]
    columns = ["window_start", "window_end", "origin", "flights", "distance", "delay", "worst"]
    assert [[*columns, "aircraft", "exact"]] * 3 == [list(row) for row in answer["rows"]]
    assert [True] * 3 == [row["exact"] for row in answer["rows"]]


def test_fresh_numbers_have_bounds_and_say_that_they_still_grow(assistant: Assistant) -> None:
    answer = assistant.ask("query_metric", metric="departures", measures=["flights"], **FRESH_HOURS)
    (row,) = answer["rows"]
    assert (False, True) == (row["exact"], row["in_progress"])
    assert row["flights_lower"] == row["flights"] < row["flights_upper"]
    assert "2013-01-03T10:56:00Z" == answer["fresh_until"]
    assert {"fresh_until", "read_until", "gap"}.isdisjoint(row)


async def test_an_answer_is_that_of_the_library(assistant: Assistant, folder: Path) -> None:
    departures = load(folder / "agents/flights.py").departures
    words: dict[str, Any] = {"by": ["carrier"], "where": "origin = 'JFK'"}
    words["order"] = ["flights desc", "carrier"]
    table = await query(
        departures, "2013-01-01", "2013-01-03", every="day", zone="America/New_York",
        store=f"sqlite:///{folder}/store.db", **words,
    )  # fmt: skip
    answer = assistant.ask(
        "query_metric", metric="departures", from_="2013-01-01", to="2013-01-03", every="day",
        zone="America/New_York", **words,
    )  # fmt: skip
    plain = list(json_rows(table))
    assert len(plain) > 10
    assert plain == [
        {name: row.get(name, row.get(name.rpartition("_")[0])) for name in expected}
        | {name: expected[name] for name in ("fresh_until", "read_until")}
        | {"gap": row.get("gap", False)}
        for row, expected in zip(answer["rows"], plain, strict=True)
    ]
    about = describe(table)
    assert {**about, "limit": 100} == {name: answer[name] for name in about}


def test_an_answer_that_was_cut_says_so_and_what_to_do(assistant: Assistant) -> None:
    cut = assistant.ask("query_metric", metric="departures", every="1h", limit=3)
    assert (3, True) == (len(cut["rows"]), cut["is_cut"])
    assert "there are more than these 3 rows: ask for wider windows" in cut["hint"]
    whole = assistant.ask("query_metric", metric="departures", every="day", limit=3)
    assert (3, False) == (len(whole["rows"]), whole["is_cut"])
    assert "hint" not in whole


def test_without_a_limit_a_hundred_rows_are_answered(assistant: Assistant) -> None:
    minutes = assistant.ask("query_metric", metric="departures", every="1m")
    assert (100, 100, True) == (len(minutes["rows"]), minutes["limit"], minutes["is_cut"])


def test_an_answer_without_rows_says_which_time_is_stored(assistant: Assistant) -> None:
    empty = assistant.ask("query_metric", metric="departures", last="24h")
    stored = "2013-01-01T00:00:00Z to 2013-01-03T12:00:00Z"
    assert ([], f"no rows: departures is stored from {stored}; check from, to and where") == (
        empty["rows"],
        empty["hint"],
    )


@pytest.mark.parametrize("by", ["origin,carrier", '["origin", "carrier"]', ["origin,carrier"]])
def test_lists_are_understood_as_assistants_write_them(assistant: Assistant, by: object) -> None:
    answer = assistant.ask("query_metric", metric="departures", by=by, **DAY_ONE)
    assert ["origin", "carrier"] == answer["by"]


def test_the_error_of_the_speed_layer_is_a_metric(assistant: Assistant) -> None:
    answer = assistant.ask(
        "query_metric", metric="departures:error", by="cause", where="measure = 'flights'",
        every="all", measures="rows",
    )  # fmt: skip
    assert {"future", "late", "none"} <= {row["cause"] for row in answer["rows"]}


def test_the_status_tells_what_is_late_and_what_was_left_out(assistant: Assistant) -> None:
    status = assistant.ask("read_status")
    (source,) = status["sources"]
    assert (REPLAYED + FRESH, REPLAYED, REPLAYED) == tuple(
        source[name] for name in ("folded", "archived", "covered")
    )
    assert {"future": 36, "late": 10} == source["unfolded"]
    assert True is source["replays"]["departures"]["is_done"]
    # Nobody runs a broker here: what is not known is null, and why is said.
    assert (None, None) == (source["lag_events"], source["written"])
    assert "localhost:9092 refuses connections" in status["problems"][0]
    assert [("max_lag", "speed"), ("max_lag", "archive")] == [
        (delay["limit"], delay["layer"]) for delay in status["late"]
    ]


def test_a_dev_that_runs_in_the_folder_is_told(folder: Path, tmp_path: Path) -> None:
    with assisted(folder, FASTDATA_STATE=str(tmp_path)) as assistant:
        before = assistant.ask("read_status")
        with Project(tmp_path) as project:
            assert project.take()
            project.begin({"page": "http://127.0.0.1:8000", "broker": "127.0.0.1:1"})
            running = assistant.ask("read_status")
    assert (None, "fastdata dev is running here: http://127.0.0.1:8000") == (
        before["dev"],
        running["dev"].partition(",")[0],
    )


def test_a_difference_is_explained_by_what_verifications_stored(assistant: Assistant) -> None:
    answer = assistant.ask("explain_difference", metric="departures")
    events = {c["cause"]: c["events"] for c in answer["stored"] if c["measure"] is None}
    assert {"future": 192, "late": 24} == events
    of_flights = {c["cause"]: c for c in answer["stored"] if c["measure"] == "flights"}
    assert 0 == of_flights["none"]["error"] < of_flights["late"]["error"] <= 1
    assert answer["recounted"] is None


def test_a_difference_is_recounted_from_the_archive(assistant: Assistant) -> None:
    answer = assistant.ask("explain_difference", metric="departures", recount=1_000)
    recounted = answer["recounted"]
    assert {"future": 192, "late": 24} == recounted["causes"]
    assert (REPLAYED, 0, []) == tuple(recounted[n] for n in ("events", "unexplained", "findings"))
    assert recounted["verified"] == sum(recounted["spans"].values())
    part = assistant.ask("explain_difference", metric="departures", recount=2, to="2013-01-02")
    assert 2 == part["recounted"]["verified"]


def test_what_was_never_verified_says_how_to(assistant: Assistant) -> None:
    answer = assistant.ask("explain_difference", metric="departures", from_="2013-01-05")
    assert [] == answer["stored"]
    assert "recount=4" in answer["hint"]


def test_that_nothing_can_be_verified_yet_is_said_and_why(tmp_path: Path) -> None:
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents/trips.py").write_text(DECLARATION)
    (tmp_path / "trip.avsc").write_text(json.dumps(SCHEMA))
    (tmp_path / "fastdata.toml").write_text('store = "sqlite:///store.db"')
    asyncio.run(open_empty(f"sqlite:///{tmp_path}/store.db"))
    with assisted(tmp_path) as assistant:
        answer = assistant.ask("explain_difference", metric="rides")
    assert [] == answer["stored"]
    assert "only closed segments are compared, and none is counted yet: 100 ev" in answer["hint"]


async def open_empty(url: str) -> None:
    async with open_store(url):
        pass
