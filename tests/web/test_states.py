"""The pages in a real browser when what they show is odd, or is not there."""

from pathlib import Path

import pytest
from playwright.async_api import ViewportSize, expect

from fastdata import Metric
from fastdata.coordinates.segments import Coverage
from fastdata.store.opening import open_store
from fastdata.store.protocol import Flip
from tests.answer.trips import MINUTE, NOON, ONE, TWO, Trip, declare, progress, total
from tests.web.browser import DESK, NEEDS_CHROMIUM, PHONE, Seen, seeing
from tests.web.serving import Served, fold, serving_only

pytestmark = NEEDS_CHROMIUM
METRIC = "/metrics/rides?from=2013-01-01T12:00&to=2013-01-01T16:00"
ODD = {
    "x" * 500: 3,
    "word " * 100: 1,
    "مرحبا بالعالم " * 36: 2,
    "\N{BALLOON}" * 500: 1,
    "<script>alert(1)</script><img src=x onerror=alert(1)>": 4,
    "\u202eevil": 0,
    "": -(2**31),
    "million": 2**31 - 1,
}

# In which columns of pixels of a chart the first line is, each a share of its width.
COLUMNS = """(measure) => {
  const canvas = document.querySelector(`[data-measure=${measure}] canvas`);
  const over = document.querySelector(`[data-measure=${measure}] .u-over`);
  const box = canvas.getBoundingClientRect(), inner = over.getBoundingClientRect();
  const [x, y] = [inner.left - box.left, inner.top - box.top];
  const { data, width } = canvas.getContext("2d").getImageData(x, y, inner.width, inner.height);
  const columns = new Set();
  for (let i = 0; i < data.length; i += 4)
    if (data[i + 2] - data[i] > 60) columns.add(((i / 4) % width) / width);
  return [...columns];
}"""

# What of a tip cannot be read: names that are cut, or a box that is beyond its card.
CUT = """() => [...document.querySelectorAll(".tip:not([hidden])")].flatMap((tip) => {
  const [box, card] = [tip, tip.parentElement].map((e) => e.getBoundingClientRect());
  const names = [...tip.querySelectorAll("dt")];
  const cut = names.filter((e) => e.scrollWidth > e.clientWidth || e.scrollHeight > e.clientHeight);
  const isBeyond = box.left < card.left - 1 || box.right > card.right + 1;
  return [...cut.map((e) => e.textContent), ...(isBeyond ? [`${box.left} ${box.right}`] : [])];
})"""


async def write(metric: Metric, url: str, of: dict[str, list[Trip]], window: int = NOON) -> None:
    totals = [total(metric, window, [city, 1], trips) for city, trips in of.items()]
    async with open_store(url) as store:
        await store.write_totals(metric.id, 1, {NOON: totals})
        await store.publish(metric.id, [Flip(NOON, None, 1, Coverage({0: 3}), len(totals))])
        await store.upsert([], [progress(TWO)])


async def columns(seen: Seen, measure: str) -> list[float]:
    shares: list[float] = await seen.page.evaluate(COLUMNS, measure)
    return sorted(shares)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
async def test_odd_names_and_numbers_are_readable(
    tmp_path: Path, scheme: str, size: ViewportSize
) -> None:
    metric, url = declare(tmp_path), f"sqlite:///{tmp_path}/store.db"
    await write(metric, url, {city: [(km, city), (None, "b")] for city, km in ODD.items()})
    async with serving_only(metric, url) as served, seeing(served, scheme, size) as seen:
        await seen.go(f"{METRIC}&by=city&every=1h")
        names = await seen.page.locator(".legend a").all_inner_texts()
        assert {"x" * 500, "\\u202eevil", "(empty)"} < set(names)
        cells = await seen.page.locator("td.name").all_inner_texts()
        assert 100 == max(map(len, cells))
        await seen.check("odd")


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
async def test_a_tip_has_the_whole_name_and_stays_in_its_card(
    tmp_path: Path, size: ViewportSize
) -> None:
    metric, url = declare(tmp_path), f"sqlite:///{tmp_path}/store.db"
    await write(metric, url, {"the airport of Oslo, Gardermoen": [(1_234_567, "anna")]})
    async with serving_only(metric, url) as served, seeing(served, "light", size) as seen:
        await seen.go(f"{METRIC}&by=city&every=1h&before=1d")
        await seen.page.locator('[data-measure="km"] .plot').focus()
        for key in ("Home", "End"):
            await seen.page.keyboard.press(key)
            assert [] == await seen.page.evaluate(CUT)
        await seen.page.keyboard.press("Home")
        await seen.shoot("tip")


async def test_how_sure_a_row_is_is_seen_without_scrolling(served: Served) -> None:
    async with seeing(served, "light", PHONE) as seen:
        await seen.go(f"{METRIC}&every=1h")
        table = await seen.page.locator("#rows .table").bounding_box()
        state = await seen.page.locator("#rows td.state").first.bounding_box()
        assert table is not None
        assert state is not None
        wide = await seen.page.evaluate("document.querySelector('#rows table').scrollWidth")
        assert wide > table["width"]
        assert state["x"] + state["width"] <= table["x"] + table["width"] + 1
        await seen.shoot("state")


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
async def test_of_what_is_not_known_no_empty_charts_are_shown(
    tmp_path: Path, size: ViewportSize
) -> None:
    metric, url = declare(tmp_path), f"sqlite:///{tmp_path}/store.db"
    async with open_store(url):
        pass
    async with serving_only(metric, url) as served, seeing(served, "light", size) as seen:
        await seen.go("/metrics/rides")
        await expect(seen.page.locator("#says")).to_have_text("Nothing is known of it yet.")
        for hidden in (".chart", ".key"):
            await expect(seen.page.locator(hidden).first).to_be_hidden()
        await seen.check("empty")


async def test_a_store_that_is_not_there_is_said(tmp_path: Path) -> None:
    metric, url = declare(tmp_path), f"sqlite:///{tmp_path}/store.db"
    async with serving_only(metric, url) as served, seeing(served, "light") as seen:
        await seen.go("/metrics/rides")
        notice = seen.page.locator(".notice")
        await expect(notice).to_contain_text("there is no store at")
        await expect(seen.page.locator(".chart").first).to_be_hidden()
        await seen.check("no-store")
        await write(metric, url, {"Oslo": [(1, "anna")]})
        await expect(seen.page.locator("#rows tbody tr")).to_have_count(1, timeout=20_000)
        await expect(notice).to_have_count(0)
        seen.said.clear()  # the browser says that it was refused


async def test_one_point_is_seen(tmp_path: Path) -> None:
    metric, url = declare(tmp_path), f"sqlite:///{tmp_path}/store.db"
    await write(metric, url, {"Oslo": [(5, "anna")]}, NOON + 30 * MINUTE)
    async with serving_only(metric, url) as served, seeing(served, "light") as seen:
        await seen.go(f"{METRIC}&every=1m")
        point = await columns(seen, "mean")
        assert 3 <= len(point) <= 12
        assert point[0] < 30 / 240 < point[-1]
        await seen.shoot("point")


async def test_a_window_that_has_just_begun_is_no_fall(served: Served) -> None:
    await fold(served, ONE, trips=8)
    await fold(served, TWO, trips=1, until=TWO + MINUTE)
    async with seeing(served, "light") as seen:
        await seen.go(f"{METRIC}&every=1h")
        line = await columns(seen, "n")
        # Of four hours: the line ends at the second, and the point of the third is apart.
        assert {True} == {share < 0.27 or 0.48 < share < 0.52 for share in line}
        assert any(0.1 < share < 0.2 for share in line)
        assert line[-1] > 0.48
        await seen.shoot("in-progress")


async def test_a_store_that_goes_away_leaves_what_was_there_and_says_so(
    served: Served, tmp_path: Path
) -> None:
    store, away = tmp_path / "store.db", tmp_path / "away.db"
    async with seeing(served, "light") as seen:
        async with seen.page.expect_event("request", lambda request: "/stream" in request.url):
            await seen.go(f"{METRIC}&every=1h")
        before = await seen.cells()
        lost = seen.page.locator("#lost")
        store.rename(away)
        await expect(lost).to_contain_text("The server cannot answer now", timeout=20_000)
        await expect(lost).to_contain_text("Last update")
        assert before == await seen.cells()
        await seen.check("store-away")
        away.rename(store)
        await fold(served, ONE, trips=5)
        await expect(seen.page.locator("#rows tbody tr").first).to_contain_text("7", timeout=20_000)
        await expect(lost).to_be_hidden()
        seen.said.clear()  # the browser says that it was refused
