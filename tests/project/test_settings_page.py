"""The page of settings shows those that there are."""

import re

import pytest
from pydantic import SecretStr

from fastdata import Settings
from fastdata.errors import SettingsError
from fastdata.store.cassandra.options import CassandraOptions, parse
from fastdata.store.cassandra.schema import BUCKETS
from tests.support.settings_page import PAGE, page

CASSANDRA = PAGE.read_text().partition("Those of Cassandra:")[2].partition("###")[0]


def test_the_page_is_what_the_settings_are() -> None:
    text = PAGE.read_text()

    assert page(text) == text, "run: make docs"


def test_all_secret_settings_are_among_the_secrets() -> None:
    secrets = PAGE.read_text().partition("## Secrets")[2].partition("\n## ")[0]
    fields = Settings.model_fields.items()
    secret = [f"`FASTDATA_{n.upper()}`" for n, f in fields if f.annotation is SecretStr]

    assert len(secret) >= 2
    assert [name for name in secret if f"| {name} |" not in secrets] == []


def test_the_options_of_cassandra_are_those_that_it_takes() -> None:
    shown = re.findall(r"^\| `(\w+)` \|", CASSANDRA, re.MULTILINE)
    with pytest.raises(SettingsError) as caught:
        parse("cassandra://host/keyspace?unknown=1")

    assert str(caught.value).endswith(f"known are {', '.join(shown)}")


def test_the_defaults_of_cassandra_are_those_that_are_shown() -> None:
    found: CassandraOptions = parse("cassandra://host/keyspace")

    assert (found.consistency, found.replication, BUCKETS) == ("LOCAL_QUORUM", 3, 4)
    for option, default in (("consistency", "`LOCAL_QUORUM`"), ("replication", 3), ("buckets", 4)):
        assert f"| `{option}` | {default} |" in CASSANDRA
