"""What cannot be read goes to the dead letters, byte for byte, and everything else is folded."""

import json
from typing import cast

import pytest
from confluent_kafka import Message

from fastdata.events.schema import Schema, encode
from tests.chaos.reading import Reader
from tests.chaos.stream import FIRST_MS, Letter, Stage
from tests.support.lab import stop

pytestmark = pytest.mark.processes

_HEADERS = (("trace", b"\x00\xff"), ("trace", b"again"))


def other_schema(stage: Stage, name: str, fields: list[object]) -> Schema:
    """A schema that the registry knows, but the source does not."""
    path = stage.folder / "schemas" / f"{name}.avsc"
    path.write_text(json.dumps({"type": "record", "name": name, "fields": fields}))
    return Schema.load(path)


def bad_records(stage: Stage) -> dict[bytes, tuple[str, str, bytes | None]]:
    """By key: stage, reason and value."""
    good = stage.encode(id="x")
    at, page = {"name": "at", "type": "string"}, {"name": "page", "type": "string"}
    wrong = other_schema(stage, "Wrong", [at])
    missing = other_schema(stage, "Missing", [page])
    return {
        b"tombstone": ("decode", "empty", None),
        b"empty": ("decode", "empty", b""),
        b"json": ("decode", "no-magic", b'{"id": "1"}'),
        b"unknown": ("decode", "unknown-schema", b"\0\x7f\xff\xff\xff" + good[5:]),
        b"wrong": ("decode", "schema-mismatch", encode(wrong, {"at": "noon"})),
        b"missing": ("decode", "schema-mismatch", encode(missing, {"page": "p0"})),
        b"cut": ("decode", "malformed", good[:-1]),
        b"long": ("decode", "malformed", good + b"\0"),
        b"garbage": ("decode", "malformed", good[:5] + b"\xff" * 40),
        b"no time": ("time", "time-null", stage.encode(at=None)),
        b"seconds": ("time", "time-out-of-range", stage.encode(at=FIRST_MS * 1_000_000)),
        b"negative": ("time", "time-out-of-range", stage.encode(at=-1)),
    }  # fmt: skip


def told(letter: Message) -> tuple[str, str, bytes | None]:
    """Stage, reason and value of a dead letter."""
    headers = dict(cast("list[tuple[str, bytes]]", letter.headers()))
    stage, reason = (headers[f"fastdata.{name}"].decode() for name in ("stage", "reason"))
    return stage, reason, letter.value()


async def test_bad_records_are_kept_with_their_reason_and_the_rest_is_exact(stage: Stage) -> None:
    bad = bad_records(stage)
    for key, (_, reason, value) in bad.items():
        stage.send_next(30)
        stage.send_bad(Letter(value, key, _HEADERS), reason)
    stage.send_next(30)
    stage.learn()
    with stage.worker() as worker:
        stage.wait_until_folded(stage.sent)
        assert stop(worker) == 0
    letters = stage.read(f"{stage.topic}.dead-letters", len(bad))
    reader = Reader(stage)
    await reader.ask()

    reader.check_complete()
    assert {letter.key(): told(letter) for letter in letters} == bad
    assert all(tuple(letter.headers() or [])[:2] == _HEADERS for letter in letters)


async def test_a_record_without_key_and_value_is_kept_too(stage: Stage) -> None:
    stage.send_bad(Letter(None, None, _HEADERS), "empty")
    stage.send_next(30)
    stage.learn()
    with stage.worker() as worker:
        stage.wait_until_folded(stage.sent)
        assert stop(worker) == 0

    (letter,) = stage.read(f"{stage.topic}.dead-letters", 1)
    assert (letter.key(), *told(letter)) == (None, "decode", "empty", None)
