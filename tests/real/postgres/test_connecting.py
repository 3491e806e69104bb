"""How the store is reached: TLS, passwords, and one clear line when it is not."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from fastdata.errors import FastdataError, SettingsError, StoreUnavailableError
from fastdata.store.opening import open_store
from tests.support.services.postgres import Postgres
from tests.support.services.server import free_port


@pytest.fixture(autouse=True)
async def _time_to_hang_up() -> AsyncIterator[None]:
    """The driver leaves a connection that was refused to the loop, which is about to end."""
    yield
    await asyncio.sleep(0.1)


async def refusal(url: str) -> FastdataError:
    """Why the store cannot be opened: in one line, without secrets."""
    with pytest.raises(FastdataError) as caught:
        await open_store(url).__aenter__()
    said = str(caught.value)
    assert "\n" not in said
    assert "secret" not in said
    return caught.value


async def test_tls_is_used_with_an_authority_that_is_trusted(postgres: Postgres, url: str) -> None:
    url += f"?sslmode=verify-full&sslrootcert={postgres.ca}"
    async with open_store(url):
        watching = await asyncpg.connect(url)
        used = await watching.fetch(
            "select distinct ssl from pg_stat_ssl join pg_stat_activity using (pid)"
            " where application_name = 'fastdata' and datname = current_database()"
        )
        await watching.close()
    assert [True] == [row["ssl"] for row in used]


async def test_an_authority_that_is_not_trusted_is_refused(postgres: Postgres, url: str) -> None:
    error = await refusal(f"{url}?sslmode=verify-full&sslrootcert={postgres.other_ca}")
    assert isinstance(error, SettingsError)
    assert "CERTIFICATE_VERIFY_FAILED" in str(error)
    assert "check the host, sslmode and sslrootcert" in str(error)


@pytest.mark.parametrize("query", ["sslmode=verify-full&sslrootcert=/no/such/ca", "sslmode=sure"])
async def test_wrong_parameters_of_tls_are_wrong_settings(url: str, query: str) -> None:
    error = await refusal(f"{url}?{query}")
    assert isinstance(error, SettingsError)
    assert "sslmode" in str(error)


async def test_an_unknown_parameter_is_a_wrong_setting(url: str) -> None:
    error = await refusal(f"{url}?colour=blue")
    assert isinstance(error, SettingsError)
    assert '"colour"; check what follows ?' in str(error)


@pytest.mark.parametrize(
    ("right", "wrong"), [(":secret@", ":secret2@"), ("//tester:", "//nobody:")], ids=["pw", "user"]
)
async def test_a_wrong_password_or_user_is_a_wrong_setting(
    url: str, right: str, wrong: str
) -> None:
    error = await refusal(url.replace(right, wrong))
    assert isinstance(error, SettingsError)
    assert "check the user and password in FASTDATA_STORE" in str(error)


async def test_a_missing_database_says_createdb(url: str) -> None:
    error = await refusal(url + "_missing")
    assert isinstance(error, SettingsError)
    assert "make the database with createdb" in str(error)


async def test_a_server_that_does_not_run_is_unavailable_at_once(url: str) -> None:
    before, _, database = url.rpartition("/")
    error = await refusal(f"{before.rpartition(':')[0]}:{free_port()}/{database}")
    assert isinstance(error, StoreUnavailableError)
    assert "is the server running, at the host and port of FASTDATA_STORE?" in str(error)


async def test_a_user_who_may_not_make_tables_is_told(postgres: Postgres, url: str) -> None:
    postgres.execute("create role visitor login password 'secret'")
    error = await refusal(url.replace("tester:", "visitor:"))
    assert isinstance(error, StoreUnavailableError)
    assert "permission denied" in str(error)
    assert "make the user the owner of the database" in str(error)
