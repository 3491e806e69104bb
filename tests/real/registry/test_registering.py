"""Schemas that producers register, and what the registry refuses."""

import json
from http.client import HTTPConnection

import pytest

from fastdata.errors import IncompatibleSchemaError, RegistryError
from fastdata.events.schema import Schema
from fastdata.events.url_registry import UrlRegistry
from tests.support.services.registry import API, Registry

AT = {"name": "at", "type": "long"}


def sale(*fields: dict[str, object]) -> Schema:
    record = {"type": "record", "name": "Sale", "fields": [AT, *fields]}
    return Schema.parse(json.dumps(record))


FIRST = sale()
WITH_DEFAULT = sale({"name": "shop", "type": "string", "default": "?"})
WITHOUT_DEFAULT = sale({"name": "shop", "type": "string"})


def ask(registry: Registry, path: str, method: str = "GET", body: str | None = None) -> str:
    connection = HTTPConnection("127.0.0.1", registry.port, timeout=10)
    try:
        connection.request(method, API + path, body, {"Content-Type": "application/json"})
        return connection.getresponse().read().decode()
    finally:
        connection.close()


async def test_a_registered_schema_is_found_by_its_id(client: UrlRegistry, subject: str) -> None:
    given = await client.register(subject, FIRST)
    await client.learn(given)

    assert client.get(given) == FIRST


async def test_registering_again_gives_the_same_id(client: UrlRegistry, subject: str) -> None:
    given = await client.register(subject, FIRST)

    assert await client.register(subject, FIRST) == given
    assert [v.version for v in await client.versions(subject)] == [1]


async def test_a_compatible_schema_becomes_the_newest_version(
    client: UrlRegistry, subject: str
) -> None:
    await client.register(subject, FIRST)
    await client.register(subject, WITH_DEFAULT)

    (newest,) = await client.versions(subject, newest=True)
    assert (newest.version, newest.schema) == (2, WITH_DEFAULT)


async def test_an_incompatible_schema_is_refused_with_the_reason(
    client: UrlRegistry, subject: str
) -> None:
    await client.register(subject, FIRST)

    with pytest.raises(IncompatibleSchemaError, match="shop: the writer does not have it"):
        await client.register(subject, WITHOUT_DEFAULT)
    assert len(await client.versions(subject)) == 1


async def test_the_registry_refuses_what_others_register_from_then_on(
    client: UrlRegistry, registry: Registry, subject: str
) -> None:
    ask(registry, "/config", "PUT", '{"compatibility": "NONE"}')
    try:
        await client.register(subject, FIRST)
        body = json.dumps({"schema": WITHOUT_DEFAULT.canonical})
        answer = ask(registry, f"/subjects/{subject}/versions", "POST", body)
    finally:
        ask(registry, "/config", "PUT", '{"compatibility": "BACKWARD"}')

    assert json.loads(answer)["error_code"] == 409


async def test_a_stricter_level_of_the_subject_stays(
    client: UrlRegistry, registry: Registry, subject: str
) -> None:
    await client.register(subject, FIRST)
    ask(registry, f"/config/{subject}", "PUT", '{"compatibility": "FULL_TRANSITIVE"}')
    await client.register(subject, WITH_DEFAULT)

    level = json.loads(ask(registry, f"/config/{subject}"))
    assert level == {"compatibilityLevel": "FULL_TRANSITIVE"}


async def test_what_the_registry_alone_finds_incompatible_is_refused(
    client: UrlRegistry, registry: Registry, subject: str
) -> None:
    await client.register(subject, WITHOUT_DEFAULT)
    ask(registry, f"/config/{subject}", "PUT", '{"compatibility": "FULL"}')

    with pytest.raises(IncompatibleSchemaError, match=r"the registry .* refuses Sale"):
        await client.register(subject, FIRST)


async def test_a_subject_without_versions_has_none(client: UrlRegistry, subject: str) -> None:
    assert await client.versions(subject) == []
    assert await client.versions(subject, newest=True) == []


async def test_a_registry_that_is_not_there_is_an_error_for_producers(subject: str) -> None:
    with pytest.raises(RegistryError, match="does not answer"):
        await UrlRegistry("http://127.0.0.1:9").register(subject, FIRST)
