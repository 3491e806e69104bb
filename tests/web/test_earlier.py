"""The page of a metric beside what was a day or a week before."""

from pathlib import Path
from typing import Any

import pytest

from fastdata import Metric
from fastdata.coordinates.instants import HOUR_MS, MINUTE_MS, parse_instant
from fastdata.coordinates.segments import Coverage
from fastdata.store.opening import open_store
from fastdata.store.protocol import Flip
from fastdata.web.earlier import _change
from tests.answer.trips import NOON, TWO, declare, progress, total
from tests.web.serving import Served, fold, serving_only
from tests.web.test_pages import DAY, Cells, lines_of, page

BEFORE = NOON - 24 * HOUR_MS


async def count(metric: Metric, url: str, trips: dict[int, int], until: int = TWO) -> None:
    """Batch has counted so many trips in the minute of each time."""
    hours = {time // HOUR_MS * HOUR_MS for time in trips}
    spans = {
        hour: [
            total(metric, time, ["Oslo", 1], [(2, "anna")] * n)
            for time, n in trips.items()
            if hour <= time < hour + HOUR_MS
        ]
        for hour in hours
    }
    async with open_store(url) as store:
        rows = await store.write_totals(metric.id, 2, spans)
        heads = await store.heads(metric.id, min(hours), max(hours) + HOUR_MS)
        assert not heads
        flips = [Flip(hour, None, 2, Coverage({0: 3}), n) for hour, n in rows.items()]
        await store.publish(metric.id, flips)
        await store.upsert([], [progress(until)])


async def n_of(served: Served, **words: str) -> dict[str, Any]:
    html = await page(served, DAY | {"every": "1h", "before": "1d"} | words)
    return lines_of(html, "n")["rides"]


async def test_each_point_has_the_one_of_the_same_time_the_day_before(served: Served) -> None:
    await count(served.metric, served.store, {BEFORE: 4})

    line = await n_of(served)

    assert ([2, 2], [4, 0]) == (line["value"], line["before"])
    assert [
        "2 · exact · the day before: 4 · exact · -50.0%",
        "2 · fresh · the day before: 0 · fresh",
    ] == line["text"]
    plain = await n_of(served, before="")
    assert "before" not in plain
    assert "2 · exact" == plain["text"][0]


async def test_the_table_has_the_difference_where_there_is_one(served: Served) -> None:
    await count(served.metric, served.store, {BEFORE: 4})
    html = await page(served, DAY | {"every": "1h", "before": "1d"})
    assert [
        ["2013-01-01 13:00 to 14:00", "2", "2", "2.000", "2", "1", "fresh"],
        [
            "2013-01-01 12:00 to 13:00", "2 (-50.0%)", "1,212 (+15,050.0%)", "606.000 (+30,200.0%)",
            "1,207 (+60,250.0%)", "2 (+100.0%)", "exact",
        ],
    ] == Cells(html).rows[1:]  # fmt: skip
    assert "the faint line is the day before" in html
    assert '<option value="1d" selected>the day before</option>' in html


@pytest.mark.parametrize(
    ("before", "told"),
    [
        (2_000, ""),
        (1_999.5, "<0.1%"),
        (2_000.5, "<0.1%"),
        (1_990, "+0.5%"),
        (2_002, "-0.1%"),
        (0, ""),
    ],
)
def test_no_difference_is_nothing_and_a_very_small_one_is_said_to_be(
    before: float, told: str
) -> None:
    assert told == _change(2_000, before)


async def test_a_bucket_in_progress_is_compared_with_the_same_part(served: Served) -> None:
    early, late = BEFORE + 2 * HOUR_MS + 5 * MINUTE_MS, BEFORE + 2 * HOUR_MS + 30 * MINUTE_MS
    await count(served.metric, served.store, {early: 2, late: 98})
    await fold(served, TWO + 2 * MINUTE_MS, trips=3, until=TWO + 18 * MINUTE_MS)

    line = await n_of(served, to="2013-01-01T16:00")

    assert "efp " == line["state"]
    assert [None, None, 100, 0] == line["before"]
    assert "in progress, 18 of 60 minutes" in line["text"][2]
    assert line["text"][2].endswith("· the day before, up to the same minute: 2 · exact · +50.0%")


async def test_a_day_is_compared_though_clocks_have_changed(tmp_path: Path) -> None:
    metric, url = declare(tmp_path), f"sqlite:///{tmp_path}/store.db"
    # In Berlin the 31st had 23 hours; 12:00 there is 10:00 UTC on it, and 11:00 the day before.
    noon, earlier = parse_instant("2013-03-31T10:00Z"), parse_instant("2013-03-30T11:00Z")
    await count(metric, url, {earlier: 5, noon: 10}, until=noon + HOUR_MS)
    words = {"from": "2013-03-31T12:00", "to": "2013-03-31T13:00", "every": "1h", "before": "1d"}
    async with serving_only(metric, url) as served:
        hour = lines_of(await page(served, words | {"zone": "Europe/Berlin"}), "n")["rides"]
        days = {"from": "2013-03-31", "to": "2013-04-01", "every": "day"}
        day = lines_of(await page(served, words | days | {"zone": "Europe/Berlin"}), "n")["rides"]
        month = lines_of(await page(served, words | days | {"every": "month"}), "n")["rides"]
    assert ([10], [5]) == (hour["value"], hour["before"])
    assert [5] == day["before"]
    assert [None] == month["before"]  # the days before a month are no month


async def test_lines_of_their_own_are_not_compared_and_that_is_said(served: Served) -> None:
    html = await page(served, DAY | {"every": "1h", "before": "1d", "by": "city"})
    assert "what was before is compared where all are together" in html
    assert "before" not in next(iter(lines_of(html, "n").values()))


async def test_another_word_is_refused(served: Served) -> None:
    html = await page(served, DAY | {"before": "2d"}, 400)
    assert "before is &#39;2d&#39;; give one of 1d, 7d" in html
    words = DAY | {"from": "0001-01-02", "to": "0001-01-03", "before": "7d"}
    assert "the range before it is not in the years 1 to 9999" in await page(served, words, 400)


async def test_that_nothing_is_stored_of_before_is_said(served: Served) -> None:
    words = DAY | {"every": "1h", "before": "7d"}

    assert "of the week before nothing is stored" in await page(served, words)
    await count(served.metric, served.store, {BEFORE: 4})
    assert "the faint line is the day before" in await page(served, words | {"before": "1d"})
