"""How the store is reached: TLS, passwords, and one clear line when it is not."""

import asyncio
from contextlib import suppress
from functools import partial

import pytest
from cassandra.cluster import Session

from fastdata.errors import FastdataError, SettingsError, StoreError, StoreUnavailableError
from fastdata.store.opening import open_store
from tests.support.services.cassandra import Cassandra, SecureCassandra
from tests.support.services.server import free_port


async def refusal(url: str, create: bool = True) -> FastdataError:
    """Why the store cannot be opened: in one line, without secrets."""
    with pytest.raises(FastdataError) as caught:
        await open_store(url, create).__aenter__()
    said = str(caught.value)
    assert "\n" not in said
    assert "secret" not in said
    return caught.value


async def test_tls_and_the_right_password(secure_cassandra: SecureCassandra, keyspace: str) -> None:
    url = f"{secure_cassandra.url(keyspace)}&tls=true&ca={secure_cassandra.ca}"
    async with open_store(url) as store:
        assert [] == list(await store.progress("flights"))


async def test_a_wrong_password(secure_cassandra: SecureCassandra, keyspace: str) -> None:
    url = f"{secure_cassandra.url(keyspace)}&tls=true&ca={secure_cassandra.ca}"
    error = await refusal(url.replace(":cassandra@", ":secret@"))
    assert isinstance(error, SettingsError)
    assert "refuses the user name or the password" in str(error)


async def test_no_password(secure_cassandra: SecureCassandra, keyspace: str) -> None:
    url = f"{secure_cassandra.url(keyspace)}&tls=true&ca={secure_cassandra.ca}"
    error = await refusal(url.replace("cassandra:cassandra@", ""))
    assert isinstance(error, SettingsError)
    assert "asks for a password" in str(error)


async def test_an_authority_that_is_not_trusted(
    secure_cassandra: SecureCassandra, keyspace: str
) -> None:
    url = f"{secure_cassandra.url(keyspace)}&tls=true&ca={secure_cassandra.other_ca}"
    error = await refusal(url)
    assert isinstance(error, SettingsError)
    assert "signed by nobody that is trusted" in str(error)


async def test_a_certificate_for_another_host(
    secure_cassandra: SecureCassandra, keyspace: str
) -> None:
    url = f"{secure_cassandra.url(keyspace)}&tls=true&ca={secure_cassandra.ca}"
    running: set[asyncio.Task[None] | None] = set()
    async with await asyncio.start_server(
        partial(forward, secure_cassandra.port, running), "127.0.0.2", secure_cassandra.port
    ):
        error = await refusal(url.replace("127.0.0.1", "127.0.0.2"))
    await asyncio.gather(*filter(None, running))
    assert isinstance(error, SettingsError)
    assert "its certificate is for another" in str(error)


async def forward(
    port: int,
    running: set["asyncio.Task[None] | None"],
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """One connection to the node, under another address."""
    running.add(asyncio.current_task())
    to_read, to_write = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.gather(copy(reader, to_write), copy(to_read, writer))


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
    writer.close()


async def test_no_tls_where_it_is_asked_for(
    secure_cassandra: SecureCassandra, keyspace: str
) -> None:
    error = await refusal(secure_cassandra.url(keyspace))
    assert "add ?tls=true" in str(error)


async def test_tls_where_there_is_none(
    cassandra: Cassandra, secure_cassandra: SecureCassandra, keyspace: str
) -> None:
    error = await refusal(f"{cassandra.url(keyspace)}&tls=true&ca={secure_cassandra.ca}")
    assert isinstance(error, SettingsError)
    assert "leave out tls=true" in str(error)


async def test_nobody_listens() -> None:
    error = await refusal(f"cassandra://127.0.0.1:{free_port()}/metrics")
    assert isinstance(error, StoreUnavailableError)
    assert "nobody listens there" in str(error)


async def test_a_host_that_nobody_knows() -> None:
    error = await refusal("cassandra://nowhere.invalid/metrics")
    assert isinstance(error, StoreUnavailableError)
    assert "no host of that name" in str(error)


async def test_a_reader_makes_no_keyspace(
    cassandra: Cassandra, plain: Session, keyspace: str
) -> None:
    error = await refusal(cassandra.url(keyspace), create=False)
    assert isinstance(error, StoreUnavailableError)
    assert "start a worker or a replay first" in str(error)
    names = plain.execute("SELECT keyspace_name FROM system_schema.keyspaces")
    assert keyspace not in {row.keyspace_name for row in names}


async def test_an_unknown_data_center(cassandra: Cassandra, keyspace: str) -> None:
    error = await refusal(f"{cassandra.url(keyspace)}&dc=mars")
    assert isinstance(error, SettingsError)
    assert "no data center 'mars', only ['datacenter1']" in str(error)


async def test_more_copies_than_nodes(cassandra: Cassandra, keyspace: str) -> None:
    error = await refusal(cassandra.url(keyspace).replace("=1", "=3"))
    assert isinstance(error, SettingsError)
    assert "cannot be made with 3 copies, the cluster has 1 nodes" in str(error)


async def test_buckets_are_of_the_keyspace(cassandra: Cassandra, keyspace: str) -> None:
    url = cassandra.url(keyspace)
    async with open_store(f"{url}&buckets=2"):
        pass
    async with open_store(url):
        pass
    error = await refusal(f"{url}&buckets=8")
    assert isinstance(error, SettingsError)
    assert "was made with 2 buckets" in str(error)


async def test_tables_of_another_version(
    cassandra: Cassandra, plain: Session, keyspace: str
) -> None:
    async with open_store(cassandra.url(keyspace)):
        pass
    plain.execute(f"UPDATE {keyspace}.layout SET version = 99 WHERE only = 0 IF EXISTS")
    error = await refusal(cassandra.url(keyspace))
    assert isinstance(error, StoreError)
    assert "layout 99" in str(error)
