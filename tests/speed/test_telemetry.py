"""What a worker tells over HTTP while it runs, and so an archiver and a schedule."""

import time
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.lab import Lab, stop
from tests.support.services.server import free_port
from tests.support.telling import is_ready, running

pytestmark = pytest.mark.processes


def scrape(port: int) -> dict[tuple[str, ...], float]:
    """Values by name and labels, these in the order of their names."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        body = answer.read().decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
    }


def test_a_worker_tells_what_it_has_done_and_what_it_costs(lab: Lab) -> None:
    port = free_port()
    lab.produce(1_000)
    lab.send(b"no event")
    with running(lab, "worker", "--metrics-port", str(port)) as worker:
        lab.wait_until_folded(1_001)
        lab.wait_until(lambda: is_ready(port))
        lab.produce(1_000)
        lab.wait_until_folded(2_001)
        time.sleep(3)  # it reports each second
        found = scrape(port)
        assert stop(worker) == 0

    assert found["fastdata_events_total", "clicks"] == 2_001
    assert found["fastdata_dead_letters_total", "no-magic", "clicks"] == 1
    assert {name[1] for name in found if name[0] == "fastdata_lag_events"} == {"0", "1", "2", "3"}
    assert sum(value for name, value in found.items() if name[0] == "fastdata_lag_events") == 0
    assert all(value < 30 for name, value in found.items() if name[0] == "fastdata_lag_seconds")
    assert found["fastdata_flush_seconds_count", "clicks"] > 0
    folded_s = found["fastdata_fold_seconds_total", "clicks"]
    assert 0 < found["fastdata_metric_fold_seconds_total", "pages", "clicks"] <= folded_s
    assert found["fastdata_state_cells", "pages", "clicks"] >= 0
    assert 0 <= found["fastdata_watchdog_age_seconds", "the event loop"] < 10
    assert found["fastdata_watchdog_limit_seconds", "the event loop"] == 30


def test_an_archiver_and_a_schedule_tell_theirs(lab: Lab) -> None:
    port = free_port()
    lab.produce(1_200)
    with running(lab, "archive", "--metrics-port", str(port)) as archiver:
        lab.wait_until(lambda: is_ready(port))
        lab.wait_until(lambda: scrape(port)["fastdata_archived_events_total", "clicks"] == 1_200)
        lags = {name for name in scrape(port) if name[0] == "fastdata_archive_lag_seconds"}
        assert len(lags) == 4
        assert stop(archiver) == 0
    port = free_port()
    words = "replay", "--every", "1h", "--window", "9000d", "--metrics-port", str(port)
    with running(lab, *words) as schedule:
        lab.wait_until(lambda: is_ready(port))
        lab.wait_until(lambda: scrape(port)["fastdata_replays_total", "ok"] == 1)
        found = scrape(port)
        assert stop(schedule) == 0
    assert found["fastdata_replayed_events_total", "pages"] == 1_200
    assert 0 < found["fastdata_covered_age_seconds",] < 600
