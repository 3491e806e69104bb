"""What a sink sends, and what it refuses."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import faust
import pytest

from fastdata.errors import DeclarationError, RecordError, SettingsError
from fastdata.events.registry import FolderRegistry
from fastdata.events.schema import encode
from fastdata.settings import Settings
from fastdata.speed.producer import AckedProducer, OutgoingMessage
from fastdata.speed.sink import Sink

SCHEMA = {
    "type": "record",
    "name": "Decision",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "score", "type": "double"},
        {"name": "reason", "type": ["null", "string"], "default": None},
    ],
}


class Sent:
    """A producer that keeps what it is given."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, OutgoingMessage]] = []

    async def send(self, topic: str, messages: Sequence[OutgoingMessage]) -> None:
        self.messages += [(topic, message) for message in messages]


@pytest.fixture
def sink(tmp_path: Path) -> Sink:
    (tmp_path / "decision.avsc").write_text(json.dumps(SCHEMA))
    app = faust.App("shop", broker="kafka://localhost:1", store="memory://", datadir=tmp_path)
    return Sink(app, "decisions", schema=str(tmp_path / "decision.avsc"), settings=Settings.load())


@pytest.fixture
def sent(sink: Sink, tmp_path: Path) -> Sent:
    """What it sends from now on; the registry is a folder."""
    (tmp_path / "schemas").mkdir()
    sink._service.registry = FolderRegistry(tmp_path / "schemas")
    sent = Sent()
    sink._service.producer = cast(AckedProducer, sent)
    return sent


@pytest.mark.parametrize("key", ["d1", b"d1"], ids=["text", "bytes"])
async def test_a_record_is_sent_by_its_schema_with_its_key(
    sink: Sink, sent: Sent, key: str | bytes
) -> None:
    await sink.send({"id": "d1", "score": 0.5}, key=key)

    value = encode(sink.schema, {"id": "d1", "score": 0.5, "reason": None})
    assert sent.messages == [("decisions", (b"d1", value, []))]


async def test_the_first_record_registers_the_schema(
    sink: Sink, sent: Sent, tmp_path: Path
) -> None:
    await sink.send({"id": "d1", "score": 0.5})
    file = tmp_path / "schemas/decisions.avsc"
    assert json.loads(file.read_text()) == SCHEMA

    file.unlink()
    await sink.send({"id": "d2", "score": 0.5})
    assert not file.exists()
    assert len(sent.messages) == 2


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"id": "d1", "scor": 0.5}, "it has no field 'scor'"),
        ({"id": "d1"}, "score"),
        ({"id": 7, "score": 0.5}, "string"),
        ({"id": "d1", "score": 0.5, "reason": 7}, "on field reason"),
    ],
)
async def test_what_does_not_fit_is_refused_and_not_sent(
    sink: Sink, sent: Sent, fields: dict[str, object], reason: str
) -> None:
    with pytest.raises(RecordError) as caught:
        await sink.send(fields)

    assert reason in str(caught.value)
    assert "of topic 'decisions'" in str(caught.value)
    assert sent.messages == []


async def test_nothing_is_sent_by_an_app_that_does_not_run(sink: Sink) -> None:
    with pytest.raises(SettingsError, match="does not run yet"):
        await sink.send({"id": "d1", "score": 0.5})


def test_a_schema_that_is_not_there_is_refused(sink: Sink) -> None:
    with pytest.raises(DeclarationError, match=r"no schema 'nowhere\.avsc'"):
        Sink(sink._service._app, "decisions", schema="nowhere.avsc")
