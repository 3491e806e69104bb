"""Alerts over HTTP, and on their page."""

import pytest
from playwright.async_api import ViewportSize

from fastdata import Alert, DerivedMetric
from fastdata.alerts.watch import AlertWatch
from fastdata.coordinates.segments import Coverage
from fastdata.store.alert_states import AlertEvent
from fastdata.store.opening import open_store
from fastdata.store.protocol import Flip
from tests.answer.trips import TWO
from tests.web.browser import DESK, NEEDS_CHROMIUM, PHONE, seeing
from tests.web.serving import Served, fold
from tests.web.test_pages import Cells


async def send(_url: str, _event: AlertEvent) -> None:
    """Take all of them."""


async def open_in_rome(served: Served) -> None:
    """An alert that is open in one city, one that is quiet, and one that nobody looks after."""
    metric, options = served.metric, {"every": "1m", "wait": "0s"}
    to = "https://hooks.example/s3cret"
    many = Alert("many <b>", metric, when="n > 2", by="city", to=to, **options)
    few = Alert("few", metric, when="n < 0", **options)
    idle = Alert("idle", metric, when="n > 2", **options)
    served.app.state.desk.catalog.alerts.update({a.name: a for a in (many, few, idle)})
    await fold(served, TWO - 60_000, 3, until=TWO)
    async with open_store(served.store) as store:
        for alert in (many, few):
            assert [] == (await AlertWatch(alert, send=send).turn(store)).errors


async def test_without_alerts_there_are_none(served: Served) -> None:
    assert {"alerts": []} == (await served.get("/api/v1/alerts")).json()
    assert "No alert is declared" in (await served.get("/alerts")).text


async def test_what_is_open_and_was_told_is_answered(served: Served) -> None:
    await open_in_rome(served)

    many, few, idle = (await served.get("/api/v1/alerts")).json()["alerts"]

    assert ("open", "2013-01-01T14:00:00Z", "hooks.example") == (
        many["state"], many["judged_until"], many["to"],
    )  # fmt: skip
    (event,) = many["events"]
    opened = {"dimensions": {"city": "Rome"}, "since": "2013-01-01T13:59:00Z"}
    assert [opened | {"opened": event["id"]}] == many["open"]
    assert {"n": {"value": 3, "lower": 3, "upper": 3}} == event["measures"]
    assert ("quiet", "unjudged", None) == (few["state"], idle["state"], idle["judged_until"])


async def test_the_page_says_the_same(served: Served) -> None:
    await open_in_rome(served)

    text = (await served.get("/alerts")).text
    _, many, few, idle, _, event = Cells(text).rows

    assert ["many <b>", "open", "Rome", "2013-01-01 13:59:00"] == many[:4]
    assert ["few", "quiet", ""] == few[:3]
    assert ["idle", "unjudged", ""] == idle[:3]
    assert ("opened", "yes") == (event[1], event[3])
    assert event[2].startswith("many <b>, city Rome: opened, 2013-01-01 13:59 to ")
    assert "s3cret" not in text


async def test_of_a_derived_metric_those_that_it_is_made_of_are_linked(served: Served) -> None:
    name = served.metric.name
    twice = DerivedMetric("twice", [served.metric], measures={"n": f"{name}.n * 2.0"})
    alert = Alert("many", twice, when="n > 2", until="n < 1", every="1m")
    served.app.state.desk.catalog.alerts["many"] = alert

    assert f'twice of <a href="/metrics/{name}">{name}</a>:' in (await served.get("/alerts")).text
    (answered,) = (await served.get("/api/v1/alerts")).json()["alerts"]
    assert ("twice", "n < 1") == (answered["metric"], answered["until"])


async def test_what_cannot_be_read_is_said_on_the_page(served: Served) -> None:
    await open_in_rome(served)
    async with open_store(served.store) as store:
        rows = await store.write_totals("alert:idle", 1, {0: [(0, "[]", b"no state")]})
        await store.publish("alert:idle", [Flip(0, None, 1, Coverage(), rows[0])])

    text = (await served.get("/alerts")).text

    assert 'role="alert"' in text
    assert "what is stored as alert:idle does not verify" in text


class TestInABrowser:
    """It fits, and everybody can use it."""

    pytestmark = NEEDS_CHROMIUM

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
    async def test_the_page_fits_and_has_no_serious_finding(
        self, served: Served, scheme: str, size: ViewportSize
    ) -> None:
        await open_in_rome(served)
        async with seeing(served, scheme, size) as seen:
            await seen.go("/alerts")
            await seen.check("alerts")
