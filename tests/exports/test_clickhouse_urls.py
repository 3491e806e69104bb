"""URLs of ClickHouse: what is understood, and what a wrong one is told."""

import sys

import pytest

from fastdata import Metric, export
from fastdata.errors import SettingsError
from fastdata.exports.clickhouse_server import ClickHouse
from fastdata.store.memory import MemoryStore


def test_the_place_is_shown_without_its_secrets() -> None:
    assert "clickhouse://db:8123/flat" == ClickHouse("clickhouse://me:secret@db/flat").shown
    secure = ClickHouse("clickhouse://me:se%40cret@db/flat?secure=1")
    assert "clickhouse://db:8443/flat" == secure.shown
    assert "clickhouse://db:33/flat" == ClickHouse("clickhouse://db:33/flat").shown


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("clickhouse://me:secret@db", "names no host or no database"),
        ("clickhouse:///flat", "names no host or no database"),
        ("clickhouse://me:secret@db/flat/rides", "names no host or no database"),
        ("clickhouse://me:secret@db:port/flat", "is not understood"),
        ("clickhouse://me:secret@db/flat?ssl_mode=off", "has ssl_mode behind"),
        ("clickhouse://me:secret@db/flat?secure=yes", "secure=yes"),
        ("clickhouse://me:secret@db/flat?secure=0&ssl_ca=x.pem", "secure=0, which does not fit"),
        ("clickhouse://me:secret@db/flat?ssl_ca=/no/such", "ssl_ca=/no/such cannot be used"),
    ],
)
def test_a_wrong_url_is_an_error_that_says_what_to_write(url: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        ClickHouse(url)
    assert "secret" not in str(caught.value)


async def test_without_the_extra_the_error_says_how_to_install_it(
    rides: Metric, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "clickhouse_connect", None)
    with pytest.raises(SettingsError, match=r"pip install 'fastdata-lambda\[clickhouse\]'"):
        await export(rides, "clickhouse://me@db/flat", store=store)
