"""ClickHouse's own engine in this process, behind the client that talks to a server elsewhere."""

import itertools
import sys
from pathlib import Path
from typing import Self

import clickhouse_connect
from clickhouse_connect.driver.client import Client

from tests.support.services import downloads


class ClickHouseEngine:
    """The engine and its files; a process can have one."""

    def __init__(self, folder: Path) -> None:
        self._modules = str(downloads.chdb())
        self._url = f"chdb://{folder}/data"
        self._numbers = itertools.count(1)

    def __enter__(self) -> Self:
        sys.path.append(self._modules)
        self._client = clickhouse_connect.get_client(dsn=self._url)
        return self

    def __exit__(self, *exc: object) -> None:
        self._client.close()
        sys.path.remove(self._modules)

    def database(self) -> str:
        """A new, empty database."""
        name = f"test_{next(self._numbers)}"
        self._client.command(f"CREATE DATABASE {name}")
        return name

    def client(self, database: str, settings: dict[str, object] | None = None) -> Client:
        """A client of a database."""
        return clickhouse_connect.get_client(dsn=self._url, database=database, settings=settings)
