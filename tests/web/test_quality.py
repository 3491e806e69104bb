"""The page of quality: how far the speed layer was off, by cause and over time."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from fastdata.coordinates.dimensions import dump_dims
from fastdata.coordinates.instants import DAY_MS, HOUR_MS
from fastdata.coordinates.segments import Coverage
from fastdata.store.opening import open_store
from fastdata.store.past_runs import PastRun, add_past_run
from fastdata.store.protocol import Flip, Total
from fastdata.verify.errors_metric import errors_of
from tests.answer.trips import NOON, ONE, TWO, declare, progress
from tests.web.serving import Served, serving_only
from tests.web.test_pages import Cells, data_of

AT_NINE = NOON + 9 * HOUR_MS
Row = tuple[str | None, str, list[float] | int]


async def store_errors(served: Served, hours: dict[int, list[Row]]) -> None:
    """Of each hour rows: a measure with its errors by cause, or events by cause."""
    errors = errors_of(served.metric)
    spans: dict[int, list[Total]] = {}
    for hour, rows in hours.items():
        spans[hour] = []
        for measure, cause, facts in rows:
            states = errors.zero(exact=True)
            for error in facts if isinstance(facts, list) else []:
                errors.add_values(states, (error, error, error, None))
            if isinstance(facts, int):
                errors.add_values(states, (None, None, None, facts))
            dims = dump_dims([measure, cause, ""])
            spans[hour].append(Total(hour, dims, errors.dump(states)))
    async with open_store(served.store) as store:
        rows_of = await store.write_totals(errors.id, 1, spans)
        flips = [Flip(hour, None, 1, Coverage({0: 3}), n) for hour, n in rows_of.items()]
        await store.publish(errors.id, flips)


async def remember(served: Served, run: PastRun) -> None:
    async with open_store(served.store) as store:
        await add_past_run(store, errors_of(served.metric).id, run)


async def page(served: Served, words: str = "") -> str:
    response = await served.get(f"/quality{words}")
    assert 200 == response.status_code
    return response.text


def charts(html: str) -> dict[str, dict[str, Any]]:
    return {
        chart["measure"]: {line["name"]: line for line in chart["lines"]}
        for chart in data_of(html)["charts"]
    }


CAUSES: dict[int, list[Row]] = {
    NOON: [
        ("n", "none", [0.0, 0.0, 0.0]),
        ("n", "late", [0.5]),
        ("km", "none", [0.0, 0.0]),
        (None, "late", 3),
        (None, "duplicate", 1_200),
    ],
    TWO: [("n", "none", [0.0, 0.0]), ("km", "none", [0.0])],
}


async def test_each_cause_has_a_line_over_time_of_events_and_of_each_measure_that_was_off(
    served: Served,
) -> None:
    await store_errors(served, CAUSES)

    drawn = charts(await page(served))

    assert ["rides: events", "rides: n"] == list(drawn)  # km never was
    events, n = drawn.values()
    # At one o'clock nothing was compared, at two nothing was wrong.
    assert [[1_200, None, 0], [3, None, 0]] == [events[c]["value"] for c in ("duplicate", "late")]
    assert [12.5, None, 0] == n["late"]["value"]
    assert ["12.500%, by 1 of 4 rows", None, "0.000%, by 0 of 2 rows"] == n["late"]["text"]
    assert "e e" == n["late"]["state"]
    assert events["late"]["line"] == n["late"]["line"] != events["duplicate"]["line"]


async def test_without_scripts_a_table_has_the_same_the_newest_first(served: Served) -> None:
    await store_errors(served, CAUSES)

    rows = Cells(await page(served)).rows

    assert [
        ["every 1h (UTC)", "cause", "events", "n"],
        ["2013-01-01 14:00", "none", "0 events", "0.000%, by 0 of 2 rows"],
        ["2013-01-01 12:00", "duplicate", "1,200 events", "0.000%, by 0 of 4 rows"],
        ["2013-01-01 12:00", "late", "3 events", "12.500%, by 1 of 4 rows"],
    ] == rows[:4]
    assert ["n", "late", "1", "50.000%", "50.000%", "-"] in rows
    assert ["(events)", "duplicate", "0", "-", "-", "1,200"] in rows


async def test_where_both_layers_agree_that_is_a_line_at_zero(served: Served) -> None:
    await store_errors(served, {NOON: [("n", "none", [0.0])]})
    assert {"rides: events": {"none": [0]}} == {
        name: {cause: line["value"] for cause, line in lines.items()}
        for name, lines in charts(await page(served)).items()
    }


async def test_long_ranges_have_wider_buckets(served: Served) -> None:
    late: list[Row] = [("n", "late", [0.5]), (None, "late", 1)]
    await store_errors(served, {NOON - 90 * DAY_MS: late, NOON: late, ONE: late})

    html = await page(served)

    line = charts(html)["rides: events"]["late"]
    assert (91, 1, 2) == (len(line["value"]), line["value"][0], line["value"][-1])
    assert "2013-01-01" == data_of(html)["labels"][-1]


async def test_a_range_that_ends_now_has_what_is_in_it(served: Served) -> None:
    await store_errors(served, CAUSES)
    html = await page(served, "?last=7d")
    assert 'id="data"' not in html
    assert '<strong aria-current="true">the last 7 days</strong>' in html
    assert 400 == (await served.get("/quality?last=5d")).status_code


async def test_no_verification_is_not_one_that_compared_nothing(served: Served) -> None:
    assert "No verification of it was stored yet" in await page(served)
    # As one without its own record, of which nothing but its hours is stored.
    await store_errors(served, {NOON: []})
    old = await page(served)
    assert "1 hour verified. The speed layer could not be compared" in old

    await remember(served, PastRun(AT_NINE, 2.5))
    unreplayed = await page(served)
    await remember(served, PastRun(AT_NINE, 2.5, start=NOON, end=TWO, confirmed=2))
    nothing = await page(served)
    await remember(served, PastRun(AT_NINE, 2.5, start=NOON, end=TWO, counted=1, confirmed=1))
    compared = await page(served)

    said = "Verified at 2013-01-01 21:00:00 UTC in 2.5 s: "
    assert f"{said}no replay had counted an hour of it" in unreplayed
    assert f"{said}2 hours. The speed layer could not be compared" in nothing
    assert f"{said}the speed layer was compared in 1 of 2 hours." in compared
    for html in (old, unreplayed, nothing):
        assert "No verification" not in html
        assert 'id="data"' not in html


async def test_that_no_segment_is_closed_is_said_with_what_is_missing(tmp_path: Path) -> None:
    metric, url = declare(tmp_path), f"sqlite:///{tmp_path}/store.db"
    async with open_store(url) as store:
        await store.publish(metric.id, [Flip(NOON, None, 1, Coverage({}, {0: 60}), 0)])
        await store.upsert([], [replace(progress(TWO), next_offset=60)])
    async with serving_only(metric, url) as served:
        unverified = await page(served)
        await remember(served, PastRun(AT_NINE, 2.5, start=NOON, end=TWO, confirmed=2))
        open_segment = await page(served)
        async with open_store(url) as store:
            await store.upsert([], [replace(progress(TWO), next_offset=100)])
        closed = await page(served)

    reason = "Only closed segments are compared, and none is counted yet: "
    missing = f"{reason}40 events of a partition are missing to the first, of 100."
    assert f"fastdata verify --store-result. {missing}" in unverified
    assert f"2 hours. {missing}" in open_segment
    assert f"{reason}the next replay counts the first." in closed


async def test_what_nothing_explains_is_said_first(served: Served) -> None:
    await remember(served, PastRun(AT_NINE, 2.5, counted=1, error="7 differences"))
    assert "21:00:00 UTC in 2.5 s: 7 differences." in await page(served)
    (quality,) = (await served.get("/api/v1/quality")).json()["metrics"]
    assert {
        "began": "2013-01-01T21:00:00Z", "took_s": 2.5, "start": None, "end": None, "counted": 1,
        "confirmed": 0, "events": 0, "error": "7 differences",
    } == quality["verified"]  # fmt: skip
