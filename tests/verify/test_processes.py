"""The commands over workers that are processes, killed in between."""

import json
from pathlib import Path

import pytest

from tests.support.lab import PARTITIONS, Lab
from tests.support.mockbroker import MockBroker

pytestmark = pytest.mark.processes


def test_a_log_that_killed_workers_folded_is_verified(tmp_path: Path) -> None:
    with MockBroker() as broker:
        broker.create("clicks")
        lab = Lab(tmp_path, broker.address, "clicks")
        with lab.worker():
            lab.produce(2_000)
            lab.wait_until_folded(1_000)
        for n in range(5):  # their first copies are in other partitions
            lab.send(lab.event(n, str(n)), partition=(n + 1) % PARTITIONS)
        with lab.worker():
            lab.produce(4_000)
            lab.wait_until_folded(6_005)
        for command in (["archive", "--once"], ["replay", "--workers", "0"]):
            assert (done := lab.fastdata(*command)).returncode == 0, done.stderr

    verified = lab.fastdata("verify", "--store-result", "--json")
    asked = lab.fastdata("query", "pages:error", "--every", "all", "--by", "cause", "--json")

    assert verified.returncode == 0, verified.stdout + verified.stderr
    (metric,) = json.loads(verified.stdout)["metrics"]
    assert metric["new"] == metric["events"] >= 6_000 - PARTITIONS * 500
    assert {"duplicate": 5} == metric["causes"]
    rows = {row["cause"]: row for row in json.loads(asked.stdout)["rows"]}
    assert {"none", "duplicate"} == rows.keys()
    assert 5 == rows["duplicate"]["events"]
