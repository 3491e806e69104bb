from pathlib import Path

import pytest

from fastdata.errors import SettingsError
from fastdata.store.cassandra.options import CassandraOptions, parse
from fastdata.store.opening import open_store


def test_a_url_says_everything(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.touch()
    url = (
        "cassandra://alice:p%40ss%2F@one,two:9142,[::1]:9143/metrics?consistency=quorum&dc=east"
        f"&replication=2&buckets=8&writes_per_s=5000&tls=true&ca={ca}"
    )
    assert parse(url) == CassandraOptions(
        hosts=(("one", 9042), ("two", 9142), ("::1", 9143)),
        keyspace="metrics",
        user="alice",
        password="p@ss/",
        consistency="QUORUM",
        dc="east",
        replication=2,
        buckets=8,
        writes_per_s=5_000.0,
        tls=True,
        ca=str(ca),
    )


def test_what_is_left_out_is_safe() -> None:
    options = parse("cassandra://one/metrics")
    assert ("LOCAL_QUORUM", 3) == (options.consistency, options.replication)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("cassandra://alice:s3cret@one", "is not understood"),
        ("cassandra://alice:s3cret@one/Metrics", "in small letters"),
        ("cassandra://alice:s3@cret@one/metrics", "is not understood"),
        ("cassandra://alice:s3cret@one:port/metrics", "names a wrong host"),
        ("cassandra://alice:s3cret@one/metrics?colour=s3cret", "unknown option 'colour'"),
        ("cassandra://alice:s3cret@one/metrics?consistency=TWO", "write one of LOCAL_QUORUM"),
        ("cassandra://alice:s3cret@one/metrics?buckets=0", "whole number from 1 to 1024"),
        ("cassandra://alice:s3cret@one/metrics?writes_per_s=fast", "how many rows a second"),
        ("cassandra://alice:s3cret@one/metrics?tls=yes", "write true or false"),
        ("cassandra://alice:s3cret@one/metrics?tls=true&ca=/no/such", "there is no file"),
        ("cassandra://alice:s3cret@one/metrics?ca=/etc/hosts", "no tls=true"),
    ],
)
def test_what_is_not_understood_is_refused_without_its_secrets(url: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why) as caught:
        open_store(url)
    assert "s3cret" not in str(caught.value)


def test_a_password_is_not_shown() -> None:
    options = parse("cassandra://alice:s3cret@one/metrics")
    assert "cassandra://one:9042/metrics" == options.shown
    assert "s3cret" not in repr(options)
