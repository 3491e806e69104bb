"""A table in a topic of a real broker, and a job that sums it."""

import random
import time

from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType  # type: ignore[attr-defined]

from tests.support.chaining import Chain
from tests.support.lab import Lab


def test_an_exporter_that_is_killed_again_and_again_sends_each_change_once(lab: Lab) -> None:
    chain, rng = Chain(lab), random.Random(7)
    chain.begin()
    chain.declare()
    with lab.worker("both_jobs"):
        for _ in range(3):
            before = len(chain.events())
            lab.produce(3_000)
            with chain.following():  # a kill -9 ends it, wherever it is
                chain.wait_until_sent(before)
                time.sleep(rng.uniform(0.0, 0.5))
            lab.produce(3_000)
            with chain.following():
                time.sleep(rng.uniform(2.5, 6.0))
        lab.wait_until(lambda: lab.folded(lab.topic) == lab.produced)
        chain.export()
        chain.wait_until_summed()
    events = chain.events()

    assert len({event["change_id"] for event in events}) == len(events)
    newest: dict[bytes, int] = {}
    for event in events:
        assert event["revision"] == newest.get(event["key"], 0) + 1
        newest[event["key"]] = event["revision"]
    assert max(newest.values()) > 2


def test_a_new_topic_keeps_the_last_event_of_a_row_for_ever(lab: Lab) -> None:
    chain = Chain(lab)
    chain.begin()
    admin = AdminClient({"bootstrap.servers": lab.environment["FASTDATA_BROKER"]})
    for name in (chain.topic, f"{chain.topic}.marks"):
        resource = ConfigResource(ResourceType.TOPIC, name)
        [config] = [one.result(10) for one in admin.describe_configs([resource]).values()]
        assert "compact" == config["cleanup.policy"].value


def delete(lab: Lab, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": lab.environment["FASTDATA_BROKER"]})
    admin.delete_topics([topic])[topic].result(10)
    lab.wait_until(lambda: topic not in admin.list_topics(timeout=10).topics)


def test_a_topic_that_was_deleted_gets_all_rows_again(lab: Lab) -> None:
    chain = Chain(lab)
    chain.begin()
    delete(lab, chain.topic)

    assert 37 == chain.export()["rows"]
    assert 0 == chain.export()["rows"]


def test_a_topic_whose_marks_were_deleted_is_refused_until_it_is_deleted_as_well(lab: Lab) -> None:
    chain = Chain(lab)
    chain.begin()
    delete(lab, f"{chain.topic}.marks")
    done = lab.fastdata("export", "pages", "--to", f"kafka://{chain.topic}")
    assert f"or '{chain.topic}.marks' beside it was deleted" in done.stderr
    delete(lab, chain.topic)

    assert 37 == chain.export()["rows"]


def test_a_topic_that_would_lose_rows_is_refused(lab: Lab) -> None:
    Chain(lab).begin()
    done = lab.fastdata("export", "pages", "--to", f"kafka://{lab.topic}")

    assert done.returncode == 1
    assert "has cleanup.policy=delete, which loses what we keep there; mend it:" in done.stderr
