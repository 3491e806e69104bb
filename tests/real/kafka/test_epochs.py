"""A topic that is deleted and made again, or moved to another cluster."""

import json
import time

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from tests.support.lab import PARTITIONS, Lab, stop


def make_again(lab: Lab) -> None:
    """Delete the topic and create it anew."""
    admin = AdminClient({"bootstrap.servers": lab.environment["FASTDATA_BROKER"]})
    admin.delete_topics([lab.topic])[lab.topic].result(30)
    deadline = time.monotonic() + 60
    while True:  # the deletion goes on after its answer
        try:
            created = admin.create_topics([NewTopic(lab.topic, PARTITIONS, 1)])
            created[lab.topic].result(30)
            return
        except KafkaException:
            assert time.monotonic() < deadline
            time.sleep(0.5)


def answer(lab: Lab) -> dict[str, tuple[int, int, bool]]:
    """Events, amounts and whether they are exact, by page."""
    found = lab.fastdata("query", "pages", "--every", "all", "--by", "page", "--json")
    rows = json.loads(found.stdout)["rows"]
    return {row["page"]: (row["n"], row["amount"], row["exact"]) for row in rows}


def expected(lab: Lab) -> dict[str, tuple[int, int, bool]]:
    counts, amounts = lab.expected()
    return {name: (counts[name], amounts[name], True) for name in counts}


def said(lab: Lab) -> str:
    return (lab.folder / "worker.log").read_text()


def archive_and_replay(lab: Lab) -> None:
    for command in (("archive", "--once"), ("replay", "--json")):
        done = lab.fastdata(*command)
        assert done.returncode == 0, done.stderr


def test_a_topic_that_is_made_again_is_another_log(lab: Lab) -> None:
    lab.produce(1_100)
    with lab.worker() as worker:
        lab.wait_until_folded(lab.produced)
        archive_and_replay(lab)
        make_again(lab)
        lab.produce(1_700)
        assert worker.wait(120) == 1
    assert f"fastdata cannot go on: topic '{lab.topic}' is" in said(lab)
    refusal = f"topic '{lab.topic}' is another log than before"
    with lab.worker() as again:
        assert again.wait(120) == 1
    assert f"fastdata cannot start: {refusal}" in said(lab)
    archived = lab.fastdata("archive", "--once")
    assert archived.returncode == 1
    assert refusal in archived.stderr
    shown = lab.fastdata("epoch")
    assert shown.returncode == 1
    assert "`fastdata epoch clicks` begins to count it" in shown.stdout

    begun = lab.fastdata("epoch", "clicks", "--json")
    assert begun.returncode == 0, begun.stderr
    (report,) = json.loads(begun.stdout)
    assert [epoch["first_partition"] for epoch in report["epochs"]] == [0, 1_000]
    with lab.worker() as worker:
        lab.wait_until_folded(lab.produced)
        archive_and_replay(lab)
        lab.wait_until(lambda: answer(lab) == expected(lab))
        assert stop(worker) == 0
    assert lab.fastdata("epoch").returncode == 0
