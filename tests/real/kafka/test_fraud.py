"""The jobs of agents/fraud on a real Kafka, while one is killed, one deployed anew, one added."""

from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks.fraud import JOBS, measure

pytestmark = pytest.mark.services


def test_the_jobs_say_what_a_plain_program_says(tmp_path: Path) -> None:
    asked = Namespace(minutes=0.75, rate=150.0, customers=500, settle=25.0)
    report = measure(asked, tmp_path)

    faults = {
        name: n for name, n in report.items() if name.endswith(("missing", "wrong", "differ"))
    }
    assert len(faults) >= 4
    assert set(faults.values()) == {0}
    assert report["lost_payments"] == 0
    assert report["decided_ms"].keys() == {*JOBS[:-1], "merchant"}
    assert report["decisions"] > 20
    (effect,) = report["lift"]["effects"]
    for arm, value, count in zip("ba", effect["values"], effect["counts"], strict=True):
        right, events = report["right_of_arm"][arm]
        assert (right, events) == (round((value or 0) * count), count)
