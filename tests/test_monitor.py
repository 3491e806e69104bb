"""What is published is answered over HTTP, and nothing else."""

import socket
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fastdata.errors import SettingsError
from fastdata.monitor import SERIES, Monitor


@pytest.fixture
def clock() -> list[float]:
    return [100.0]


@pytest.fixture
def monitor(clock: list[float]) -> Iterator[Monitor]:
    running = Monitor(silence_s=30.0, clock=lambda: clock[0])
    yield running
    running.stop()


def ask(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_metrics_are_those_that_were_published_last(monitor: Monitor) -> None:
    port = monitor.start("127.0.0.1", 0)
    monitor.publish({"events": {("clicks",): 1}}, is_ready=True)
    monitor.publish(
        {
            "events": {("clicks",): 7},
            "lag_seconds": {("clicks", "0"): 1.5, ("clicks", "1"): 0.0},
            "flush_seconds": {("clicks",): (4, 0.25)},
        },
        is_ready=True,
    )
    status, body = ask(port, "/metrics")
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
        if sample.name.startswith("fastdata_")
    }

    assert status == 200
    assert samples == {
        ("fastdata_events_total", "clicks"): 7.0,
        ("fastdata_lag_seconds", "0", "clicks"): 1.5,
        ("fastdata_lag_seconds", "1", "clicks"): 0.0,
        ("fastdata_flush_seconds_count", "clicks"): 4.0,
        ("fastdata_flush_seconds_sum", "clicks"): 0.25,
    }
    assert "process_resident_memory_bytes" in body


def test_health_is_that_of_the_process(monitor: Monitor, clock: list[float]) -> None:
    port = monitor.start("127.0.0.1", 0)
    assert (ask(port, "/health/live")[0], ask(port, "/health/ready")[0]) == (200, 503)
    monitor.publish({}, is_ready=True)
    assert (ask(port, "/health/live")[0], ask(port, "/health/ready")[0]) == (200, 200)
    clock[0] += 31.0
    assert (ask(port, "/health/live")[0], ask(port, "/health/ready")[0]) == (503, 503)
    assert ask(port, "/")[0] == 404


def test_a_port_that_is_taken_is_said_with_its_setting(monitor: Monitor) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(SettingsError, match="see FASTDATA_METRICS_PORT"):
            monitor.start("127.0.0.1", other.getsockname()[1])


def test_names_follow_the_rules_of_prometheus() -> None:
    names = [name for name, *_ in SERIES]

    assert len({*names}) == len(names)
    for name, kind, text, labels in SERIES:
        assert name.islower()
        assert text
        assert not name.endswith("_total")
        assert kind in ("counter", "gauge", "summary")
        assert all(label.isidentifier() for label in labels)
