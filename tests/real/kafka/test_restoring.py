"""A serving store that is lost, or another one, fills itself again, as docs/production.md tells."""

import json

from tests.support.lab import Lab, stop
from tests.support.services.postgres import Postgres


def answer(lab: Lab, **environment: str) -> dict[str, tuple[int, int, bool]]:
    """Events, amounts and whether they are exact, by page."""
    ask = ("query", "pages", "--every", "all", "--by", "page", "--json")
    rows = json.loads(lab.fastdata(*ask, **environment).stdout)["rows"]
    return {row["page"]: (row["n"], row["amount"], row["exact"]) for row in rows}


def expected(lab: Lab, *, exact: bool) -> dict[str, tuple[int, int, bool]]:
    counts, amounts = lab.expected()
    return {name: (counts[name], amounts[name], exact) for name in counts}


def archive_and_replay(lab: Lab, **environment: str) -> None:
    for command in (("archive", "--once"), ("replay", "--json")):
        done = lab.fastdata(*command, **environment)
        assert done.returncode == 0, done.stderr


def test_a_lost_store_is_filled_again(lab: Lab) -> None:
    lab.produce(4_300)  # two closed segments of each partition, and 75 events of an open one
    with lab.worker() as worker:
        lab.wait_until_folded(lab.produced)
        assert stop(worker) == 0
    archive_and_replay(lab)
    for file in (lab.folder / "data").glob("fastdata.db*"):
        file.unlink()

    lab.produce(100)
    with lab.worker() as worker:
        lab.wait_until_folded(lab.produced)
        assert answer(lab) == expected(lab, exact=False)
        archive_and_replay(lab)
        lab.wait_until(lambda: answer(lab) == expected(lab, exact=True))
        assert stop(worker) == 0


def test_another_store_is_one_setting(lab: Lab, postgres: Postgres) -> None:
    lab.produce(2_300)
    with lab.worker() as worker:
        lab.wait_until_folded(lab.produced)
        assert stop(worker) == 0
    archive_and_replay(lab)
    lab.store = postgres.url()
    moved = {"FASTDATA_STORE": lab.store}
    lab.produce(100)
    with lab.worker(**moved) as worker:
        lab.wait_until_folded(lab.produced)
        archive_and_replay(lab, **moved)
        lab.wait_until(lambda: answer(lab, **moved) == expected(lab, exact=True))
        assert stop(worker) == 0
