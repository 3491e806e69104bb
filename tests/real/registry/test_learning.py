"""Fetching schemas by id: what is unknown, late, unusable, or cannot be asked for."""

import asyncio
import json
import logging
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from confluent_kafka.schema_registry import Schema as Registered
from confluent_kafka.schema_registry import SchemaRegistryClient

from fastdata.declare.source import Source
from fastdata.errors import (
    BadEventError,
    DeclarationError,
    SchemaNeededError,
    SettingsError,
    UnknownSchemaError,
)
from fastdata.events.decoder import Decoder
from fastdata.events.registry import Schemas
from fastdata.events.schema import Schema, encode
from fastdata.events.url_registry import UrlRegistry
from tests.support.services.certificates import Authority, Certificate
from tests.support.services.registry import Registry

TEXT = '{"type":"record","name":"Sale","fields":[{"name":"at","type":"long"}]}'


async def learned(registry: UrlRegistry, schema_id: int) -> Schema:
    """Ask until there is an answer, as workers do."""
    while True:
        try:
            return registry.get(schema_id)
        except SchemaNeededError:
            await registry.learn(schema_id)


@contextmanager
def answering(status: int, body: str, certificate: Certificate | None = None) -> Iterator[str]:
    """A server that answers everything like that; its address."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    scheme = "http"
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.certificate, certificate.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"{scheme}://alice:geheim@127.0.0.1:{server.server_port}/apis"
    finally:
        server.shutdown()
        server.server_close()


async def test_an_id_is_unknown_after_some_patience(client: UrlRegistry) -> None:
    began = asyncio.get_running_loop().time()
    with pytest.raises(UnknownSchemaError, match="has no schema 987654321"):
        await learned(client, 987_654_321)

    assert asyncio.get_running_loop().time() - began >= 3.0


async def test_rubbish_is_waited_for_once_and_not_again(client: UrlRegistry) -> None:
    with pytest.raises(UnknownSchemaError):
        await learned(client, 987_654_321)
    began = asyncio.get_running_loop().time()
    for other in range(100_000_000, 100_000_020):
        with pytest.raises(UnknownSchemaError):
            await learned(client, other)

    assert asyncio.get_running_loop().time() - began < 3.0


async def test_a_schema_that_is_registered_a_moment_later_is_found(
    client: UrlRegistry, subject: str
) -> None:
    given = await client.register(f"{subject}-before", Schema.parse(TEXT)) + 1
    asking = asyncio.create_task(learned(client, given))
    await client.learn(given)
    later = Schema.parse(TEXT.replace("Sale", "Return"))

    assert await client.register(f"{subject}-later", later) == given
    assert await asking == later


async def test_an_unknown_id_is_asked_for_again_after_half_a_minute() -> None:
    now = 0.0
    with answering(404, json.dumps({"error_code": 40403, "message": "no"})) as url:
        registry = UrlRegistry(url, clock=lambda: now)
        await registry.learn(5)
        now = 3.0
        await registry.learn(5)
        with pytest.raises(UnknownSchemaError):
            registry.get(5)
        now = 34.0

        with pytest.raises(SchemaNeededError):
            registry.get(5)


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, "oops"), (503, "{}"), (401, "{}"), (404, "<html>"), (200, "<html>"), (200, "[]")],
)
async def test_an_answer_that_says_nothing_of_the_schema_is_no_verdict(
    status: int, body: str, caplog: pytest.LogCaptureFixture
) -> None:
    with answering(status, body) as url:
        registry = UrlRegistry(url)
        with caplog.at_level(logging.WARNING):
            await registry.learn(5)

    with pytest.raises(SchemaNeededError):
        registry.get(5)
    assert "waiting for schema 5; nothing is lost" in caplog.text
    assert "geheim" not in caplog.text


async def test_a_registry_that_hangs_is_given_up_until_the_next_try(
    restartable_registry: Registry,
) -> None:
    registry = UrlRegistry(restartable_registry.url)
    schema = Schema.parse(TEXT)
    given = await registry.register("hanging-value", schema)
    restartable_registry.pause()
    try:
        await registry.learn(given)
        with pytest.raises(SchemaNeededError):
            registry.get(given)
    finally:
        restartable_registry.resume()

    assert await learned(registry, given) == schema


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"type": "string"}', "AVRO"),
        ('{"type":"record","name":"A","fields":[{"name":"a","type":["null","A"]}]}', "AVRO"),
        ('{"$schema":"http://json-schema.org/draft-07/schema#","type":"object"}', "JSON"),
    ],
    ids=["no record", "a record in itself", "a JSON schema"],
)
async def test_events_of_a_schema_that_cannot_be_used_are_dead_letters(
    client: UrlRegistry, registry: Registry, subject: str, tmp_path: Path, text: str, kind: str
) -> None:
    with SchemaRegistryClient({"url": registry.url, "timeout": 10}) as producer:
        given = await asyncio.to_thread(producer.register_schema, subject, Registered(text, kind))
    with pytest.raises(DeclarationError):
        await learned(client, given)

    with pytest.raises(BadEventError, match="decode: unusable-schema"):
        decoder(tmp_path, client).decode(b"\0" + given.to_bytes(4, "big") + b"\2")


async def test_one_schema_under_two_ids_is_read_alike(
    client: UrlRegistry, registry: Registry, subject: str, tmp_path: Path
) -> None:
    schema = Schema.parse(TEXT)
    spaced = json.dumps(json.loads(TEXT) | {"doc": "the same"})
    with SchemaRegistryClient({"url": registry.url, "timeout": 10}) as producer:
        ids = [
            await asyncio.to_thread(
                producer.register_schema, f"{subject}-{n}", Registered(text, "AVRO")
            )
            for n, text in enumerate([TEXT, spaced])
        ]
    for given in ids:
        await learned(client, given)

    events = [decoder(tmp_path, client).decode(encode(schema, {"at": 7}, given)) for given in ids]
    assert len(set(ids)) == 2
    assert [event.time for event in events] == [7, 7]


def decoder(folder: Path, schemas: Schemas) -> Decoder:
    (folder / "sale.avsc").write_text(TEXT)
    source = Source(
        "sales", topic="sales", schema=str(folder / "sale.avsc"), time="at", oldest="1970-01-01"
    )
    return Decoder(source, schemas)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "refuses the user or password"),
        (403, "refuses the user or password"),
        (404, "is the path of the URL right"),
    ],
)
async def test_a_registry_that_refuses_is_told_at_the_start(status: int, message: str) -> None:
    with answering(status, "") as url, pytest.raises(SettingsError, match=message) as caught:
        await UrlRegistry(url).check()

    assert "geheim" not in str(caught.value)
    assert "FASTDATA_REGISTRY" in str(caught.value)


async def test_an_untrusted_certificate_is_told_at_the_start(tmp_path: Path) -> None:
    certificate = Authority(tmp_path, "theirs").sign()
    other = Authority(tmp_path, "other")
    with (
        answering(200, "[]", certificate) as url,
        pytest.raises(SettingsError, match="FASTDATA_REGISTRY_CA"),
    ):
        await UrlRegistry(url, str(other.ca)).check()


async def test_a_certificate_of_the_given_authority_is_trusted(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "theirs")
    with answering(200, json.dumps({"schema": TEXT}), authority.sign()) as url:
        registry = UrlRegistry(url, str(authority.ca))
        await registry.check()
        await registry.learn(1)

    assert registry.get(1).name == "Sale"


async def test_a_registry_that_is_down_at_the_start_is_waited_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        await UrlRegistry("http://127.0.0.1:9").check()

    assert "does not answer" in caplog.text
