"""Dead letters are listed, and sent again once."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from fastdata.coordinates.instants import now_ms
from fastdata.operate.dead_letters import ReadLetter
from fastdata.speed.dead_letters import split_headers
from tests.support.lab import Lab
from tests.support.mockbroker import MockBroker

TRACE = ("trace", b"\x00\xff")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with MockBroker() as broker:
        broker.create("clicks", 4)
        broker.create("clicks.dead-letters", 4)
        yield Lab(tmp_path / "lab", broker.address, "clicks")


def bury(
    lab: Lab, offset: int, reason: str, value: bytes | None, tries: int = 0, age_s: int = 0
) -> None:
    """Append a dead letter, as a worker does, or did so long ago."""
    before = [TRACE] + ([("fastdata.resent", str(tries).encode())] if tries else [])
    ours = {
        "topic": "clicks", "partition": 2, "offset": offset, "timestamp": 1_700_000_000_123,
        "stage": "decode", "reason": reason, "detail": "cut off", "epoch": "here/aa",
    }  # fmt: skip
    producer = Producer({"bootstrap.servers": lab.environment["FASTDATA_BROKER"]})
    headers: list[tuple[str, str | bytes | None]] = [
        *before,
        *((f"fastdata.{name}", str(x).encode()) for name, x in ours.items()),
    ]
    producer.produce(
        "clicks.dead-letters", value, key=f"key {offset}", headers=headers, partition=offset % 4,
        timestamp=now_ms() - 1_000 * age_s,
    )  # fmt: skip
    assert producer.flush(10) == 0


def listed(lab: Lab, *words: str) -> list[dict[str, Any]]:
    done = lab.fastdata("dead-letters", "--json", *words)
    assert done.returncode == 0, done.stderr
    letters: list[dict[str, Any]] = json.loads(done.stdout)
    return letters


def test_letters_are_listed_by_what_was_asked_for(lab: Lab) -> None:
    bury(lab, 7, "malformed", b"\xff\x00")
    bury(lab, 7, "malformed", b"\xff\x00")  # as after a crash
    bury(lab, 8, "no-magic", b'{"id": 1}')

    (letter,) = listed(lab, "--reason", "malformed")
    assert letter.pop("at")
    assert letter == {
        "topic": "clicks", "partition": 2, "offset": 7, "stage": "decode", "reason": "malformed",
        "detail": "cut off", "tries": 0, "resent": False, "key": "key 7", "value_hex": "ff00",
    }  # fmt: skip
    assert {letter["offset"] for letter in listed(lab)} == {7, 8}
    assert len(listed(lab, "--limit", "1")) == 1
    shown = lab.fastdata("dead-letters").stdout
    assert "malformed: clicks/2 offset 7, " in shown
    assert "  key key 7, value 0xff00\n" in shown
    assert '  key key 8, value {"id": 1}\n' in shown
    assert "clicks: 2 shown, 2 not sent again yet\n" in shown


def test_only_letters_since_a_time_are_listed_where_the_broker_finds_no_record_by_time(
    lab: Lab,
) -> None:
    bury(lab, 6, "malformed", b"{", age_s=7_200)
    bury(lab, 7, "malformed", b"[", age_s=60)

    assert [7] == [letter["offset"] for letter in listed(lab, "--since", "1h")]
    assert [] == listed(lab, "--since", "30s")


def test_what_is_sent_again_is_as_it_was_and_is_sent_once(lab: Lab) -> None:
    bury(lab, 7, "malformed", b"\xff\x00", tries=1)
    bury(lab, 8, "empty", None)

    planned = lab.fastdata("dead-letters", "--resend")
    assert planned.returncode == 0
    assert planned.stdout.startswith(
        "clicks: 1 to send again (malformed: 1); 1 stay, as it would not help them\n"
    )
    assert "nothing was sent: --yes sends them" in planned.stdout

    done = lab.fastdata("dead-letters", "--resend", "--yes")
    assert done.stdout.startswith("clicks: 1 sent again (malformed: 1)")
    again = lab.fastdata("dead-letters", "--resend", "--yes")
    assert again.stdout.startswith("clicks: 0 to send again; 1 were sent before")
    (record,) = lab.read("clicks", 2, timeout_s=3)
    assert (record.key(), record.value(), record.partition()) == (b"key 7", b"\xff\x00", 2)
    assert record.timestamp()[1] == 1_700_000_000_123
    assert record.headers() == [TRACE, ("fastdata.resent", b"2")]
    assert {x["offset"]: (x["resent"], x["tries"]) for x in listed(lab)} == {
        7: (True, 1), 8: (False, 0),
    }  # fmt: skip


def test_a_limit_sends_a_part_and_the_rest_later(lab: Lab) -> None:
    for offset in (4, 8, 12):
        bury(lab, offset, "malformed", b"\xff")

    first = lab.fastdata("dead-letters", "--resend", "--yes", "--limit", "2").stdout
    second = lab.fastdata("dead-letters", "--resend", "--yes", "--json").stdout

    assert first.startswith("clicks: 2 sent again")
    assert json.loads(second)[0]["sent"] == 1
    assert len(lab.read("clicks", 4, timeout_s=3)) == 3


def test_a_topic_that_no_source_reads_is_refused(lab: Lab) -> None:
    done = lab.fastdata("dead-letters", "--topic", "clik")

    assert done.returncode == 2
    assert "no source reads 'clik'; the topics are: clicks" in " ".join(done.stderr.split())


def test_headers_of_a_record_that_was_a_dead_letter_elsewhere_are_its_own() -> None:
    elsewhere = [("fastdata.topic", b"other"), ("fastdata.reason", b"malformed")]
    ours = [("fastdata.topic", b"clicks"), ("fastdata.reason", b"no-magic")]

    assert split_headers([*elsewhere, *ours]) == (
        elsewhere, {"topic": "clicks", "reason": "no-magic"},
    )  # fmt: skip
    assert split_headers([TRACE]) == ([TRACE], {})


@pytest.mark.parametrize(
    ("stage", "is_sendable"), [("decode", True), ("key", False), ("destination", False)]
)
def test_what_metrics_have_counted_is_not_sent_again(stage: str, is_sendable: bool) -> None:
    place = ("here/aa", "2", "7")
    letter = ReadLetter("clicks", place, None, 0, stage, "misfit", "", None, b"value", [], 0)

    assert letter.is_sendable is is_sendable
