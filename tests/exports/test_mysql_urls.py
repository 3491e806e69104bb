"""URLs of MySQL: what is understood, and what a wrong one is told."""

import sys

import pytest

from fastdata import Metric, export
from fastdata.errors import SettingsError
from fastdata.exports.mysql import MySql
from fastdata.store.memory import MemoryStore


def test_the_place_is_shown_without_its_secrets() -> None:
    assert "mysql://db:3306/flat" == MySql("mysql://me:secret@db/flat").shown
    assert "mysql://db:33/flat" == MySql("mariadb://me:se%40cret@db:33/flat").shown


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://me:secret@db", "names no host or no database"),
        ("mysql:///flat", "names no host or no database"),
        ("mysql://me:secret@db:port/flat", "is not understood"),
        ("mysql://me:secret@db/flat?ssl_mode=off", "has ssl_mode behind"),
        ("mysql://me:secret@db/flat?ssl_ca=/no/such", "ssl_ca=/no/such cannot be used"),
    ],
)
def test_a_wrong_url_is_an_error_that_says_what_to_write(url: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        MySql(url)
    assert "secret" not in str(caught.value)


async def test_without_the_extra_the_error_says_how_to_install_it(
    rides: Metric, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "aiomysql", None)
    with pytest.raises(SettingsError, match=r"pip install 'fastdata-lambda\[mysql\]'"):
        await export(rides, "mysql://me@db/flat", store=store)
