"""A worker that was down for an hour goes on with the last three minutes."""

import json
import time
from typing import Any

from tests.support.lab import Lab, stop

HOUR_MS = 3_600_000


def asked(lab: Lab) -> dict[str, Any]:
    answer = lab.fastdata("query", "pages", "--every", "all", "--json")
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def test_after_an_outage_a_worker_is_fresh_at_once_and_the_next_replay_heals_the_gap(
    lab: Lab,
) -> None:
    now_ms = round(time.time() * 1000)
    lab.produce(2_200, written_ms=now_ms - 2 * HOUR_MS)  # 550 in each partition, in segments of 500
    with lab.worker() as worker:
        lab.wait_until_folded(2_200)
        assert stop(worker) == 0
    agents = lab.folder / "agents/clicks.py"
    agents.write_text(agents.read_text().replace('id="id",', 'id="id", skip_after="3m",'))
    lab.produce(20_000, written_ms=now_ms - HOUR_MS)
    lab.produce(400)

    with lab.worker() as worker:
        # 5,650 in each partition: from 5,500 on they are folded, some old ones among them.
        lab.wait_until_folded(22_600)
        fresh = asked(lab)
        for command in (("archive", "--once"), ("replay", "--json")):
            done = lab.fastdata(*command)
            assert done.returncode == 0, done.stderr
        healed = asked(lab)
        assert stop(worker) == 0

    said = (lab.folder / "worker.log").read_text()
    for p in range(4):
        skips = f"{lab.topic}, partition {p}: events from offset 550 to 5499 are not folded"
        assert said.count(skips) == 1
    (row,) = fresh["rows"]
    assert (row["n"], row["exact"], row["gap"]) == (2_200 + 4 * 150, False, True)
    (row,) = healed["rows"]
    assert (row["n"], row["amount"], row["exact"]) == (22_600, sum(range(22_600)), True)
    assert healed["gaps"] == []
