"""The pages in a real browser: what they draw, that they move, and that everybody can use them."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from playwright.async_api import Route, ViewportSize, expect

from tests.answer.trips import ONE, TWO
from tests.web.browser import DESK, NEEDS_CHROMIUM, PHONE, Seen, seeing
from tests.web.serving import Served, fold
from tests.web.test_earlier import BEFORE, count
from tests.web.test_operations import COUNTED, FAILED, keep
from tests.web.test_quality import CAUSES, store_errors

pytestmark = NEEDS_CHROMIUM
METRIC = "/metrics/rides?from=2013-01-01T12:00&to=2013-01-01T15:00&every=1h&by=city"
PATHS = {"metric": METRIC, "replays": "/replays", "quality": "/quality", "login": "/login"}


@pytest.fixture(params=["light", "dark"])
async def seen(served: Served, request: pytest.FixtureRequest) -> AsyncIterator[Seen]:
    async with seeing(served, request.param) as seen:
        yield seen


async def test_each_measure_has_a_chart_and_each_line_a_place_in_its_legend(seen: Seen) -> None:
    await seen.go(METRIC)
    assert 5 == await seen.page.locator(".chart canvas").count()
    assert ["Oslo", "-", "(empty)"] == await seen.page.locator(".legend a").all_inner_texts()


async def test_each_chart_is_as_wide_as_its_card_from_the_first_on(seen: Seen) -> None:
    await seen.go(METRIC)
    await seen.page.locator(".chart canvas").nth(4).wait_for()
    widths = await seen.page.evaluate(
        "[...document.querySelectorAll('.chart')].map("
        "c => [c.querySelector('canvas').clientWidth, c.querySelector('.plot').clientWidth])"
    )
    assert [drawn for drawn, _ in widths] == [room for _, room in widths]


async def test_what_is_drawn_over_a_chart_is_the_range_and_one_step_of_the_way_back(
    seen: Seen,
) -> None:
    await seen.go(METRIC)
    box = await seen.page.locator('[data-measure="n"] .u-over').bounding_box()
    assert box is not None
    steps = await seen.page.evaluate("history.length")
    await seen.page.mouse.move(box["x"] + 5, box["y"] + 50)
    await seen.page.mouse.down()
    await seen.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 50, steps=5)
    await seen.page.mouse.up()
    await expect(seen.page.locator("#rows tbody tr")).to_have_count(3)
    await seen.page.wait_for_url("**from=2013-01-01T12*")
    assert await seen.page.evaluate("history.length") == steps + 1


async def test_the_arrow_keys_tell_each_point_in_the_words_of_the_table(seen: Seen) -> None:
    await seen.go(METRIC)
    await seen.page.locator('[data-measure="n"] .plot').focus()
    await seen.page.keyboard.press("Home")
    tip = await seen.page.locator('[data-measure="n"] .tip').inner_text()
    assert ["2013-01-01 12:00 to 13:00", "Oslo", "2 · exact"] == tip.split("\n")[:3]


async def test_numbers_move_within_two_seconds_and_without_a_reload(
    served: Served, seen: Seen
) -> None:
    loads: list[str] = []
    seen.page.on("load", lambda page: loads.append(page.url))
    async with seen.page.expect_event("request", lambda request: "/stream" in request.url):
        await seen.go(METRIC)
    await fold(served, TWO, trips=3, until=TWO + 18 * 60_000)
    rome = seen.page.locator("#rows tr", has_text="Rome")
    await rome.wait_for(timeout=5_000)
    assert "in progress, 18 of 60 minutes" in await rome.inner_text()
    assert 1 == len(loads)


async def test_while_an_answer_is_waited_for_all_that_it_will_change_is_pale(seen: Seen) -> None:
    await seen.go(METRIC)
    held: list[Route] = []
    await seen.page.route("**/metrics/**", lambda r: held.append(r))  # noqa: PLW0108
    await seen.page.locator('[name="every"]').select_option("5m")
    for part in ("#says", "#answer", ".charts", "#rows"):
        await expect(seen.page.locator(part)).to_have_css("opacity", "0.55")
    await seen.shoot("loading")
    await held[-1].continue_()
    for part in ("#says", ".charts"):
        await expect(seen.page.locator(part)).to_have_css("opacity", "1")


async def test_how_far_it_is_behind_is_told_though_nothing_changes(seen: Seen) -> None:
    await seen.page.clock.install()
    async with seen.page.expect_event("request", lambda request: "/stream" in request.url):
        await seen.go(METRIC)
    async with seen.page.expect_event("request", lambda request: "/metrics/rides" in request.url):
        await seen.page.clock.fast_forward(31_000)


async def test_a_filter_is_in_the_address_and_the_way_back_undoes_it(seen: Seen) -> None:
    await seen.go(METRIC)
    before = await seen.cells()
    await seen.page.locator(".legend a", has_text="Oslo").click()
    await expect(seen.page.locator("#rows tbody tr")).to_have_count(1)
    assert "Oslo" in seen.page.url
    await seen.page.go_back()
    await expect(seen.page.locator("#rows tbody tr")).to_have_count(len(before))
    assert before == await seen.cells()


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
async def test_pages_fit_and_have_no_serious_finding(
    served: Served, name: str, scheme: str, size: ViewportSize
) -> None:
    async with seeing(served, scheme, size) as seen:
        await seen.go(PATHS[name])
        await seen.check(name)


async def test_what_was_before_is_told_at_each_point_that_has_it(
    served: Served, seen: Seen
) -> None:
    await count(served.metric, served.store, {BEFORE: 4})
    await seen.go(METRIC.removesuffix("&by=city"))
    await seen.page.locator('[name="before"]').select_option("1d")
    await seen.page.locator("#answer", has_text="the faint line is the day before").wait_for()
    await seen.page.locator('[data-measure="n"] .plot').focus()
    await seen.page.keyboard.press("Home")
    tip = await seen.page.locator('[data-measure="n"] .tip').inner_text()
    assert "2 · exact · the day before: 4 · exact · -50.0%" in tip
    assert seen.page.url.endswith("&before=1d")


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
async def test_the_pages_of_replays_and_quality_fit_when_there_is_much_to_tell(
    served: Served, seen: Seen, size: ViewportSize
) -> None:
    await store_errors(served, CAUSES)
    await keep(served, COUNTED, replace(FAILED, error="no answer of " + "x" * 300))
    await seen.page.set_viewport_size(size)
    for name in ("replays", "quality"):
        await seen.go(f"/{name}")
        await seen.check(f"much-{size['width']}-{name}")
    await seen.page.locator(".plot").last.focus()
    await seen.page.keyboard.press("Home")
    tip = await seen.page.locator(".tip").last.inner_text()
    assert ["late", "12.500%, by 1 of 4 rows"] == tip.split("\n")[-2:]


async def test_a_server_that_goes_away_is_told_and_is_back_by_itself(
    served: Served, seen: Seen
) -> None:
    await seen.go(METRIC)
    await seen.page.context.set_offline(offline=True)
    await seen.page.locator("button", has_text="Show").click()
    await seen.page.locator("#lost", has_text="The server is not reached").wait_for(timeout=5_000)
    await seen.page.context.set_offline(offline=False)
    await fold(served, ONE, trips=1, until=TWO + 60_000)
    await seen.page.locator("#lost").wait_for(state="hidden", timeout=20_000)
    seen.said.clear()  # the browser says that it was not reached
