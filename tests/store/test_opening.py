import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fastdata.errors import SettingsError, StoreUnavailableError
from fastdata.store.memory import MemoryStore
from fastdata.store.opening import open_dialect, open_store
from fastdata.store.sql.store import SqlStore


@pytest.mark.parametrize("url", ["memory:", "memory://"])
def test_a_store_in_memory(url: str) -> None:
    assert isinstance(open_store(url), MemoryStore)


@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+aiosqlite"])
async def test_the_driver_is_chosen(tmp_path: Path, scheme: str) -> None:
    async with open_store(f"{scheme}:///{tmp_path}/store.db") as store:
        assert isinstance(store, SqlStore)
    assert (tmp_path / "store.db").is_file()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://alice:pass%40word@db.example.com:5433/metrics?sslmode=verify-full",
        "postgres://alice@one,two:5433,[::1]:5434/metrics?target_session_attrs=primary",
        "postgresql+asyncpg:///metrics?host=/run/postgresql",
    ],
)
def test_postgresql_is_not_reached_before_the_store_is_entered(url: str) -> None:
    assert isinstance(open_store(url), SqlStore)


@pytest.mark.parametrize(
    ("opener", "setting"), [(open_store, "FASTDATA_STORE"), (open_dialect, "--to")]
)
def test_a_driver_that_is_not_installed_is_named_by_its_extra(
    monkeypatch: pytest.MonkeyPatch, opener: Callable[[str, object], object], setting: str
) -> None:
    monkeypatch.delitem(sys.modules, "fastdata.store.sql.postgres", raising=False)
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(SettingsError) as caught:
        opener("postgresql://alice:s3cret@db/metrics", setting)
    assert str(caught.value) == (
        f"{setting} names PostgreSQL, whose driver is not installed:"
        " pip install 'fastdata-lambda[postgres]'"
    )


def test_sqlite_needs_no_driver_of_postgresql(tmp_path: Path) -> None:
    code = """if True:
        import asyncio, sys
        sys.modules["asyncpg"] = None
        from fastdata.store.opening import open_store
        async def main():
            async with open_store("sqlite:///store.db"):
                pass
        asyncio.run(main())
    """
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert (tmp_path / "store.db").is_file()


async def test_a_relative_path_begins_at_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with open_store("sqlite:///store.db"):
        pass
    assert (tmp_path / "store.db").is_file()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "not understood"),
        ("store.db", "not understood"),
        ("redis://alice:s3cret@db:6379/0", "no store is known"),
        ("sqlite+pysqlite:///s3cret.db", "no store is known"),
        ("mysql://db/metrics?password=s3cret", "no store is known"),
        ("postgresql://alice:s3cret@db:port/metrics", "not understood"),
        ("postgresql://alice:s3cret@db", "not understood"),
        ("postgresql://alice:s3cret/@db/metrics", "not understood"),
        ("postgresql://alice:12?s3cret@db/metrics", "not understood"),
        ("postgresql://alice:12/s3cret@db/metrics", "not understood"),
        ("postgresql://alice:12#s3cret@db/metrics", "not understood"),
        ("alice:s3cret@db", "no store is known"),
        ("sqlite:s3cret.db", "not understood"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite://s3cret/store.db", "names no file"),
    ],
)
def test_what_is_not_understood_is_refused_without_its_secrets(url: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why) as caught:
        open_store(url)
    assert "s3cret" not in str(caught.value)
    assert re.search("write .*sql.*://", str(caught.value))


def test_a_reader_makes_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="start a worker or a replay first"):
        open_store(f"sqlite:///{tmp_path}/store.db", create=False)
    assert [] == list(tmp_path.iterdir())


async def test_a_store_that_vanishes_while_it_is_opened_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    async with open_store(url):
        pass
    ask = SqlStore._layout

    def begin_anew() -> None:
        for file in tmp_path.glob("store.db*"):
            file.unlink()
        (tmp_path / "store.db").touch()

    async def answer_and_vanish(store: SqlStore) -> int | None:
        layout = await ask(store)
        begin_anew()
        return layout

    monkeypatch.setattr(SqlStore, "_layout", answer_and_vanish)
    with pytest.raises(StoreUnavailableError):
        async with open_store(url, create=False) as store:
            await store.progress("trips")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="its folder does not exist"):
        open_store(f"sqlite:///{tmp_path}/missing/store.db")


async def test_secrets_of_a_url_are_in_no_error(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"no database" * 1000)
    store = open_store(f"sqlite:///{tmp_path}/store.db?check_same_thread=false&uri=false")
    with pytest.raises(StoreUnavailableError) as caught:
        await store.__aenter__()
    assert "check_same_thread" not in str(caught.value)
