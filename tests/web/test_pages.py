"""The page of a metric: the numbers of an answer as a table, and what its charts are drawn from."""

import asyncio
import json
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastdata import Metric
from fastdata.coordinates.instants import parse_instant
from fastdata.coordinates.segments import Coverage
from fastdata.declare.filters import Filter
from fastdata.store.opening import open_store
from fastdata.store.protocol import Flip
from fastdata.web import pages
from fastdata.web.charts import MOST_LINES, MetricView, equals, others, see
from tests.answer.trips import (
    MINUTE,
    NOON,
    ONE,
    TWO,
    declare,
    gap,
    progress,
    total,
    unfolded,
)
from tests.web.serving import Served, fold, serving_only

PAGE = "/metrics/rides"
DAY = {"from": "2013-01-01T12:00", "to": "2013-01-01T14:00"}
NAMEABLE = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
HOSTILE = "</script><img src=x onerror=alert(1)>&'\""


class Cells(HTMLParser):
    """The texts of a page's table, row by row."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self._is_in = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self._is_in = True
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._is_in = self._is_in and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._is_in:
            self.rows[-1][-1] += data


def data_of(html: str) -> dict[str, Any]:
    block = re.search(r'<script id="data" type="application/json">(.*?)</script>', html, re.DOTALL)
    assert block
    data: dict[str, Any] = json.loads(block[1])
    return data


def lines_of(html: str, measure: str) -> dict[str, dict[str, Any]]:
    chart = next(c for c in data_of(html)["charts"] if c["measure"] == measure)
    return {line["name"]: line for line in chart["lines"]}


async def page(served: Served, words: Mapping[str, str] = DAY, status: int = 200) -> str:
    response = await served.client.get(PAGE, params=words)
    assert status == response.status_code, response.text
    return response.text


async def write(metric: Metric, url: str, keys: dict[str, int]) -> None:
    """Totals of one hour: so many trips of each city, each of a rider of its own but for one."""
    totals = [
        total(metric, NOON, [city, 1], [(1, "anna"), *[(1, f"{city} {i}") for i in range(1, n)]])
        for city, n in keys.items()
    ]
    async with open_store(url) as store:
        await store.write_totals(metric.id, 1, {NOON: totals})
        await store.publish(metric.id, [Flip(NOON, None, 1, Coverage({0: 3}), len(totals))])
        await store.upsert([], [progress(TWO)])


@pytest.fixture(scope="module")
def metric(tmp_path_factory: pytest.TempPathFactory) -> Metric:
    return declare(tmp_path_factory.mktemp("metric"))


async def test_the_table_has_the_rows_of_the_answer_the_newest_first(served: Served) -> None:
    rows = Cells(await page(served, DAY | {"every": "1h"})).rows
    assert ["UTC", "n", "km", "mean", "longest", "riders", "state"] == rows[0]
    assert [
        ["2013-01-01 13:00 to 14:00", "2", "2", "2.000", "2", "1", "fresh"],
        ["2013-01-01 12:00 to 13:00", "2", "1,212", "606.000", "1,207", "2", "exact"],
    ] == rows[1:]


async def test_each_point_says_how_sure_it_is(served: Served) -> None:
    html = await page(served, DAY | {"every": "30m"})
    line = lines_of(html, "n")["rides"]
    assert "eefe" == line["state"]
    assert [2, 0, 2, 0] == line["value"]
    assert "2 · exact" == line["text"][0]
    mean = lines_of(html, "mean")["rides"]
    assert [606.0, None, 2.0, None] == mean["value"]


async def test_a_bucket_that_is_not_over_is_in_progress(served: Served) -> None:
    await fold(served, TWO + 2 * MINUTE, trips=3, until=TWO + 18 * MINUTE)
    html = await page(served, DAY | {"to": "2013-01-01T16:00", "every": "1h"})
    line = lines_of(html, "n")["rides"]
    assert "efp " == line["state"]
    assert [2, 2, 3, None] == line["value"]
    assert line["text"][2].endswith("· in progress, 18 of 60 minutes")
    assert "in progress, 18 of 60 minutes" == Cells(html).rows[1][-1]


async def test_what_no_replay_has_counted_and_gaps_are_grounds(served: Served) -> None:
    async with open_store(served.store) as store:
        await store.record_gap(gap(100, 900))
    html = await page(served, DAY)
    data = data_of(html)
    assert [] == data["uncovered"]
    assert [[NOON, TWO]] == data["gaps"]
    assert {"fresh, with a gap"} == {row[-1] for row in Cells(html).rows[1:]}


async def test_a_range_becomes_whole_buckets_so_that_none_looks_like_a_dip(served: Served) -> None:
    words = {"from": "2013-01-01T12:10", "to": "2013-01-01T13:50", "every": "1h"}
    assert [NOON, ONE] == data_of(await page(served, words))["times"]
    week = data_of(await page(served, DAY | {"every": "week"}))
    assert 7 * 24 * 3_600_000 == week["to"] - week["from"]


async def test_the_page_chooses_a_width_that_makes_few_points(served: Served) -> None:
    assert 120 == len(data_of(await page(served, DAY))["times"])
    week = DAY | {"to": "2013-01-08"}
    assert 7 * 24 >= len(data_of(await page(served, week))["times"]) > 7


async def test_a_line_for_each_value_and_one_for_the_rest(tmp_path: Path) -> None:
    metric, url = declare(tmp_path), f"sqlite:///{tmp_path}/store.db"
    await write(metric, url, {f"city {n:02}": n for n in range(1, 15)})
    async with serving_only(metric, url) as served:
        html = await page(served, DAY | {"by": "city", "every": "1h"})
    counts, riders = lines_of(html, "n"), lines_of(html, "riders")
    assert [f"city {n:02}" for n in range(14, 4, -1)] == list(counts)[:MOST_LINES]
    assert [14.0, 0.0] == counts["city 14"]["value"]
    assert 1 + 2 + 3 + 4 == counts["all others"]["value"][0]
    assert 1 + 0 + 1 + 2 + 3 == riders["all others"]["value"][0]  # anna is one of each
    assert "rest" == counts["all others"]["line"]


async def test_names_are_text_wherever_they_stand(tmp_path: Path) -> None:
    metric, url = declare(tmp_path), f"sqlite:///{tmp_path}/store.db"
    await write(metric, url, {HOSTILE: 2, "x" * 300: 1})
    async with serving_only(metric, url) as served:
        html = await page(served, DAY | {"by": "city", "where": f"city <> '{'<b>'}'"})
    assert HOSTILE in Cells(html).rows[1]
    assert HOSTILE in lines_of(html, "n")
    assert "<img" not in html
    assert "<b>" not in html


async def test_a_line_narrows_the_page_to_itself(served: Served) -> None:
    html = await page(served, DAY | {"by": "city", "every": "1h"})
    links = re.findall(r'href="(\?[^"]*)" data-narrows title="Only ([^"]*)"', html)
    [link] = [link.replace("&amp;", "&") for link, name in links if name == "Oslo"]
    narrowed = (await served.get(PAGE + link)).text
    assert [["2013-01-01 12:00 to 13:00", "2", "1,212", "606.000", "1,207", "2", "exact"]] == Cells(
        narrowed
    ).rows[1:]


async def test_the_form_keeps_what_was_asked_and_says_what_is_wrong(served: Served) -> None:
    html = await page(served, DAY | {"where": "town = 'Oslo'", "every": "1h"}, 400)
    assert "has no dimension" in html or "no dimension &#39;town&#39;" in html
    assert 'value="town = &#39;Oslo&#39;"' in html
    assert "Fresh to 2013-01-01 14:00:00" in html
    year = DAY | {"to": "2014-01-01"}
    assert "choose a shorter range" in await page(served, year | {"every": "1m"}, 400)
    assert "not a date or time" in await page(served, DAY | {"to": "2014"}, 400)


async def test_what_is_known_can_be_nothing(tmp_path: Path) -> None:
    metric, url = declare(tmp_path), f"sqlite:///{tmp_path}/store.db"
    async with open_store(url):
        pass
    async with serving_only(metric, url) as served:
        html = await page(served, {})
    assert "Nothing is known of it yet" in html
    assert 'id="data"' not in html


async def test_another_metric_takes_the_range_along(served: Served) -> None:
    response = await served.get(f"{PAGE}?metric=other&last=24h&by=city")
    assert "/metrics/other?last=24h" == response.headers["location"]
    assert 404 == (await served.get("/metrics/other")).status_code
    assert "/metrics/rides" == (await served.get("/")).headers["location"]


async def test_assets_are_kept_for_ever_at_an_address_that_changes_with_them(
    served: Served,
) -> None:
    html = await page(served, DAY)
    paths = set(re.findall(r'(?:src|href)="(/assets/[^"]+)"', html))
    assert {"page.js", "uplot.js", "theme.js", "style.css", "uplot.css", "icon.svg"} == {
        path.rpartition("/")[2] for path in paths
    }
    for path in paths:
        response = await served.get(path)
        assert 200 == response.status_code
        assert "immutable" in response.headers["cache-control"]


TEXTS = st.one_of(st.none(), st.text(NAMEABLE, max_size=20))


@given(values=st.lists(TEXTS, min_size=1, max_size=6, unique=True))
def test_lines_and_the_rest_are_apart_and_all(metric: Metric, values: list[str | None]) -> None:
    first, rest = values[: len(values) // 2 + 1], values[len(values) // 2 + 1 :]
    only = [Filter.parse(metric, equals("city", value)) for value in first]
    other = Filter.parse(metric, others("city", first))
    for value in values:
        row = {"city": value, "line": 1}
        assert [value == of for of in first] == [condition.accepts(row) for condition in only]
        assert (value in rest) == other.accepts(row)


async def test_a_token_is_typed_in_once(tmp_path: Path) -> None:
    metric, url = declare(tmp_path), f"sqlite:///{tmp_path}/store.db"
    await write(metric, url, {"Oslo": 1})
    async with serving_only(metric, url, web_token="long and random") as served:
        refused = await served.get(f"{PAGE}?by=city")
        assert 303 == refused.status_code
        assert "/login?next=%2Fmetrics%2Frides%3Fby%3Dcity" == refused.headers["location"]
        assert 200 == (await served.get("/login")).status_code
        form = {"token": "wrong", "next": "/metrics/rides?by=city"}
        assert 401 == (await served.client.post("/login", data=form)).status_code
        form["token"] = "long and random"
        let_in = await served.client.post("/login", data=form)
        assert (303, "/metrics/rides?by=city") == (let_in.status_code, let_in.headers["location"])
        assert "HttpOnly" in let_in.headers["set-cookie"]
        assert "random" not in let_in.headers["set-cookie"]
        assert 200 == (await served.get(PAGE)).status_code
        assert 200 == (await served.get("/api/v1/metrics")).status_code
        form["next"] = "//evil.example"
        assert "/" == (await served.client.post("/login", data=form)).headers["location"]


async def test_all_is_exact_only_where_each_point_is(served: Served) -> None:
    assert "Exact to 2013-01-01 13:00:00." in await page(served, DAY | {"every": "1h"})
    hour = {"from": "2013-01-01T12:00", "to": "2013-01-01T13:00", "every": "1h"}
    assert "All of this range is exact." in await page(served, hour)
    nothing = await page(served, hour | {"where": "city = 'Rome'"})
    assert [0] == lines_of(nothing, "n")["rides"]["value"]
    assert "All of this range is exact." in nothing
    async with open_store(served.store) as store:
        await store.upsert([unfolded(served.metric, NOON, "late", 7)], [progress(TWO)])
    served.app.state.desk.looks._recent.clear()  # as if a second had passed
    late = await page(served, hour | {"where": "city = 'Rome'"})
    assert "Nothing of this range is exact yet." in late
    line = lines_of(late, "n")["rides"]
    assert ("f", [0], [None]) == (line["state"], line["value"], line["upper"])


@pytest.mark.parametrize(
    ("moment", "shown"),
    [
        ("2013-01-01T13:30:00Z", "13:30:00"),
        ("2013-01-01T00:00:00Z", "2013-01-01 00:00:00"),
        ("2012-12-31T23:30:00Z", "2012-12-31 23:30:00"),
    ],
)
def test_a_moment_of_another_day_or_between_two_has_its_date(moment: str, shown: str) -> None:
    assert shown == pages._clock(parse_instant(moment), ZoneInfo("UTC"), TWO)


async def test_of_what_was_before_all_that_is_stored_nothing_is_drawn(served: Served) -> None:
    html = await page(served, {"from": "2013-01-01T10:00", "to": "2013-01-01T13:00", "every": "1h"})
    line = lines_of(html, "n")["rides"]
    assert ("  e", [None, None, 2]) == (line["state"], line["value"])


@pytest.mark.parametrize(
    "words",
    [
        {"every": "0m"},
        {"every": "30s"},
        {"every": "99999999999h"},
        {"to": "9999-12-31T23:59"},
        {"from": "0001-01-02", "to": "9999-12-30", "every": "day"},
        {"from": "0001-01-02", "to": "9999-12-30", "every": "month"},
    ],
)
async def test_ranges_and_widths_that_cannot_be_are_refused_at_once(
    served: Served, words: dict[str, str]
) -> None:
    html = await page(served, words, 400)
    assert 'role="alert"' in html


@pytest.mark.parametrize("others", ["a/b=1; ", 'x={"a": 1}; ', "[a]=1; ", "x=a b; "])
async def test_cookies_of_others_do_not_matter(tmp_path: Path, others: str) -> None:
    metric, url = declare(tmp_path), f"sqlite:///{tmp_path}/store.db"
    await write(metric, url, {"Oslo": 1})
    async with serving_only(metric, url, web_token="secret") as served:
        form = {"token": "secret", "next": "/"}
        let_in = await served.client.post("/login", data=form)
        session = let_in.headers["set-cookie"].partition(";")[0]
        served.client.cookies.clear()
        assert 303 == (await served.get(PAGE, cookie=others.strip("; "))).status_code
        assert 200 == (await served.get(PAGE, cookie=others + session)).status_code


async def test_who_looks_at_the_same_page_shares_what_it_shows(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    async def counted(*arguments: Any) -> MetricView:
        made.append(1)
        return await see(*arguments)

    monkeypatch.setattr(pages, "see", counted)
    words = DAY | {"every": "1h"}
    shown = await asyncio.gather(*[page(served, words) for _ in range(10)])
    assert (1, 1) == (len(made), len({tuple(map(tuple, Cells(html).rows)) for html in shown}))
    await fold(served, ONE, trips=3)
    async with asyncio.timeout(20):
        while Cells(await page(served, words)).rows[1][1] != "5":
            pass
    assert 2 == len(made)
