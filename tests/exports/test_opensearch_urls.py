"""URLs of OpenSearch: what is understood, and what a wrong one is told."""

import sys

import pytest

from fastdata import Metric, export
from fastdata.errors import SettingsError
from fastdata.exports.opensearch_server import OpenSearchServer
from fastdata.store.memory import MemoryStore


def test_the_place_is_shown_without_its_secrets() -> None:
    assert "opensearch://db:9200" == OpenSearchServer("opensearch://me:secret@db").shown
    assert "opensearch://db:33" == OpenSearchServer("opensearch://me:se%40cret@db:33/").shown


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("opensearch:///", "names no host, or more than one"),
        ("opensearch://me:secret@db/flat", "names no host, or more than one"),
        ("opensearch://me:secret@db:port", "is not understood"),
        ("opensearch://me:secret@db?ssl_mode=off", "has ssl_mode behind"),
        ("opensearch://me:secret@db?secure=yes", "secure=yes"),
        ("opensearch://me:secret@db?secure=0&ssl_ca=x.pem", "secure=0, which does not fit"),
        ("opensearch://me:secret@db?ssl_ca=/no/such", "ssl_ca=/no/such cannot be used"),
    ],
)
def test_a_wrong_url_is_an_error_that_says_what_to_write(url: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        OpenSearchServer(url)
    assert "secret" not in str(caught.value)


async def test_without_the_extra_the_error_says_how_to_install_it(
    rides: Metric, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opensearchpy", None)
    with pytest.raises(SettingsError, match=r"pip install 'fastdata-lambda\[opensearch\]'"):
        await export(rides, "opensearch://me@db", store=store)
