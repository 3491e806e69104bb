"""Alerts in `fastdata dev`: judged by a process of their own, also when they are declared later."""

import asyncio
import time
from pathlib import Path

import pytest

from fastdata.store.alert_states import AlertState, read_alert
from fastdata.store.opening import open_store
from tests.support.developing import AGENTS, Place, are_gone

ALERT = """
from fastdata import Alert

quiet = Alert("quiet", totals, when="n < 1", every="1m", wait="0s", to="{url}")
"""


async def state_of(place: Place) -> AlertState | None:
    async with open_store(f"sqlite:///{place.folder}/data/fastdata.db", create=False) as store:
        return await read_alert(store, "quiet")


@pytest.mark.processes
def test_an_alert_that_is_declared_later_is_judged_and_kept(place: Place) -> None:
    place.write("a.jsonl", range(500))
    with place.dev("--load", "a.jsonl") as dev:
        dev.wait_for_text("first numbers")
        assert not [line for line in dev.said if line["part"] == "alerts"]
        place.agents.write_text(AGENTS + ALERT.format(url="http://127.0.0.1:9/s3cret"))
        deadline_s = time.monotonic() + 60
        while (state := asyncio.run(state_of(place))) is None or not state.events:
            assert time.monotonic() < deadline_s
            time.sleep(0.5)
        dev.wait_for_text("127.0.0.1 took no event of alert 'quiet'")
        children = dev.children()
        assert 0 == dev.end()

    # Nothing comes but the file, whose events are years old.
    assert [("opened", {"n": [0, 0, 0]})] == [(e.event, e.measures) for e in state.events]
    assert are_gone(children)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)
