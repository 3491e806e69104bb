"""Queries over HTTP: the same words, meaning and numbers as `fastdata query`."""

import csv
import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from fastdata import Count, Metric, query
from fastdata.answer.arrow import describe
from fastdata.answer.batches import json_rows
from fastdata.store.opening import open_store
from fastdata.web.answers import with_progress
from tests.answer.trips import NOON, ONE, TWO, declare, declare_source, gap, unfolded
from tests.web.serving import QUERY, Served, fold, serving_only

HOUR = 3_600_000


async def test_an_answer_is_that_of_the_library_with_two_columns_more(served: Served) -> None:
    response = await served.client.get(QUERY, params={"by": "city", "every": "30m"})
    answer = response.json()
    table = await query(served.metric, by="city", every="30m", store=served.store)
    assert 0 <= answer.pop("took_s") < 60
    rows = answer.pop("rows")
    assert describe(table) == answer
    plain = [{k: row[k] for k in row if k not in ("in_progress", "replayed_until")} for row in rows]
    assert list(json_rows(table)) == plain
    assert "application/json" == response.headers["content-type"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({"every": "all"}, [("Oslo", 2), (None, 1), ("", 1)]),
        ({"every": "all", "order": "n desc, city desc", "limit": "1"}, [("Oslo", 2)]),
        ({"every": "all", "where": "city = 'Oslo' or line = 2"}, [(None, 1), ("Oslo", 2)]),
        ({"from": "2013-01-01T13:00", "every": "all"}, [(None, 1), ("", 1)]),
        ({"to": "2013-01-01T14:00+01:00", "every": "day"}, [("Oslo", 2)]),
        ({"from": "2013-01-01T14:00", "zone": "Europe/Oslo", "every": "all"}, [(None, 1), ("", 1)]),
        ({"last": "1h", "to": "2013-01-01T13:00", "every": "all"}, [("Oslo", 2)]),
        # As Grafana says it.
        (
            {"from": "2013-01-01T11:59:30.123Z", "to": "2013-01-01T12:59:30.123Z", "every": "1h"},
            [("Oslo", 2)],
        ),
        (
            {"from": "2013-01-03", "every": "day", "rolling": "7d", "to": "2013-01-04"},
            [("Oslo", 2), (None, 1), ("", 1)],
        ),
    ],
)
async def test_words_mean_what_they_mean_to_the_command(
    served: Served, words: dict[str, str], expected: list[tuple[str | None, int]]
) -> None:
    rows = await served.rows(by="city", measures="n", **words)
    assert sorted(expected, key=str) == sorted([(r["city"], r["n"]) for r in rows], key=str)


async def test_words_may_be_given_again(served: Served) -> None:
    words = "by=city&by=line&where=line%3D1&where=city='Oslo'&measures=n&measures=km&every=all"
    answer = (await served.get(f"{QUERY}?{words}")).json()
    assert ["city", "line"] == answer["by"]
    assert "(line=1) AND (city='Oslo')" == answer["where"]
    assert [2, 1212] == [answer["rows"][0][name] for name in ("n", "km")]


async def test_a_row_is_in_progress_until_the_speed_layer_has_passed_its_end(
    served: Served,
) -> None:
    await fold(served, TWO, 1, until=TWO + HOUR // 2)
    rows = await served.rows(every="15m", measures="n", **{"from": "2013-01-01T13:00"})
    assert [("13:00", False), ("14:00", False)] == [shown(row) for row in rows]
    (row,) = await served.rows(every="1h", measures="n", **{"from": "2013-01-01T14:00"})
    assert ("14:00", True) == shown(row)


def shown(row: dict[str, Any]) -> tuple[str, bool]:
    return row["window_start"][11:16], row["in_progress"]


async def test_a_row_tells_up_to_when_batch_has_counted_it(served: Served) -> None:
    await fold(served, TWO, 1)
    day = await served.rows(every="day", measures="n")
    hours = await served.rows(every="1h", measures="n")
    assert ["2013-01-01T14:00:00Z"] == [row["replayed_until"] for row in day]
    assert ["2013-01-01T13:00:00Z", "2013-01-01T14:00:00Z", None] == [
        row["replayed_until"] for row in hours
    ]


async def test_gaps_are_told_as_stretches_of_time(served: Served) -> None:
    async with open_store(served.store) as store:
        await store.record_gap(gap(350, 400))
        await store.upsert([unfolded(served.metric, NOON, "late", 4)], [])
    answer = (await served.get(f"{QUERY}?every=1h&from=2013-01-01T11:00")).json()
    assert [{"start": "2013-01-01T11:00:00Z", "end": "2013-01-01T14:00:00Z"}] == answer["gaps"]
    assert 4 == answer["unfolded"]
    assert {True} == {row["gap"] for row in answer["rows"]}


async def test_rows_come_as_csv_where_that_is_wanted(served: Served) -> None:
    for response in (
        await served.get(f"{QUERY}?by=city&format=csv"),
        await served.get(f"{QUERY}?by=city", accept="text/html, text/csv;q=0.9, */*;q=0.1"),
    ):
        assert "text/csv; charset=utf-8" == response.headers["content-type"]
        lines = list(csv.DictReader(io.StringIO(response.text)))
        assert ["Oslo", "", ""] == [line["city"] for line in lines]
        assert ["false"] * 3 == [line["in_progress"] for line in lines]


async def test_rows_come_as_an_arrow_stream_where_that_is_wanted(served: Served) -> None:
    for response in (
        await served.get(f"{QUERY}?format=arrow", accept="text/csv"),
        await served.get(QUERY, accept="application/vnd.apache.arrow.stream"),
    ):
        assert "application/vnd.apache.arrow.stream" == response.headers["content-type"]
        table = pa.ipc.open_stream(response.content).read_all()
        assert [2, 2] == table.column("n").to_pylist()
        assert "rides" == describe(table)["metric"]


async def test_a_column_of_that_name_is_not_hidden(tmp_path: Path) -> None:
    metric = Metric("m", declare_source(tmp_path), measures={"in_progress": Count()})
    table = await query(metric, store="memory:")
    with pytest.raises(ValueError, match="has a column 'in_progress' of its own"):
        with_progress(table)


async def test_the_same_answer_need_not_be_sent_again(served: Served) -> None:
    first = await served.get(QUERY)
    again = await served.get(QUERY, **{"If-None-Match": first.headers["etag"]})
    assert (304, b"") == (again.status_code, again.content)
    assert first.headers["etag"] == again.headers["etag"]
    other = await served.get(f"{QUERY}?by=city", **{"If-None-Match": first.headers["etag"]})
    assert 200 == other.status_code


async def test_what_changes_an_answer_changes_its_tag(served: Served) -> None:
    words = f"{QUERY}?from=2013-01-01T12:00&to=2013-01-01T13:00"
    first = (await served.get(words)).headers["etag"]
    await fold(served, ONE, 3)
    assert first == await tag_of_a_new_look(served, words)  # of another hour
    await fold(served, NOON, 3)
    assert first != await tag_of_a_new_look(served, words)


async def tag_of_a_new_look(served: Served, words: str) -> str:
    served.app.state.desk.looks._recent.clear()
    tag: str = (await served.get(words)).headers["etag"]
    return tag


async def test_metrics_say_what_can_be_asked(served: Served) -> None:
    (metric,) = (await served.get("/api/v1/metrics")).json()["metrics"]
    assert ["city", "line"] == [dimension["name"] for dimension in metric["dimensions"]]
    assert ["string", "int"] == [dimension["type"] for dimension in metric["dimensions"]]
    measures = {m["name"]: (m["type"], m["is_number"]) for m in metric["measures"]}
    assert {"n", "km", "mean", "longest", "riders"} == measures.keys()
    assert ("double", True) == measures["mean"]
    assert {"start": "2013-01-01T12:00:00Z", "end": "2013-01-01T14:00:00Z"} == metric["stored"]
    assert "2013-01-01T14:00:00Z" == metric["fresh_until"]


async def test_an_empty_store_has_metrics_without_a_past(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/empty.db"
    async with open_store(url), serving_only(declare(tmp_path), url) as served:
        (metric,) = (await served.get("/api/v1/metrics")).json()["metrics"]
        answer = (await served.get(QUERY)).json()
    assert [None] * 4 == [metric[n] for n in ("stored", "replayed", "fresh_until", "read_until")]
    assert (None, []) == (answer["start"], answer["rows"])
