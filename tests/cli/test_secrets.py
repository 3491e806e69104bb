"""No command shows a secret, not even one that cannot reach anything."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.answer.trips import DECLARATION, SCHEMA

SASL = {
    "FASTDATA_BROKER": "127.0.0.1:1",
    "FASTDATA_BROKER_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
    "FASTDATA_BROKER_USERNAME": "me",
    "FASTDATA_BROKER_PASSWORD": "canary-1",
    "FASTDATA_WEB_TOKEN": "canary-2",
    "FASTDATA_ARCHIVE": "s3://bucket/archive",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
    "AWS_REGION": "nowhere",
    "AWS_ACCESS_KEY_ID": "me",
    "AWS_SECRET_ACCESS_KEY": "canary-3",
}
RIGHT = {
    "FASTDATA_STORE": "postgresql://me:canary-4@127.0.0.1:1/db",
    "FASTDATA_REGISTRY": "http://me:canary-5@127.0.0.1:1",
}
CARELESS = {
    "FASTDATA_STORE": "cassandra://me:canary/4@127.0.0.1:1/keyspace",
    "FASTDATA_REGISTRY": "http://me:canary/5@127.0.0.1:1",
}
OTHER = {
    "FASTDATA_STORE": "postgresql://me:@canary4@127.0.0.1:1/db?password=canary-6",
    "FASTDATA_REGISTRY": "https://me:5@canary-5@127.0.0.1:1",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "trips.py").write_text(DECLARATION)
    (tmp_path / "trip.avsc").write_text(json.dumps(SCHEMA))
    return tmp_path


@pytest.mark.parametrize("urls", [RIGHT, CARELESS, OTHER], ids=["right", "slash", "at"])
@pytest.mark.parametrize("words", ["doctor --json", "status --json", "worker"])
def test_a_command_that_reaches_nothing_shows_no_secret(
    folder: Path, words: str, urls: dict[str, str]
) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "fastdata", *words.split()],
        cwd=folder, env=os.environ | SASL | urls, capture_output=True, text=True, check=False,
        timeout=120,
    )  # fmt: skip
    said = run.stdout + run.stderr
    assert run.returncode != 0
    assert "password" in said or "127.0.0.1:1" in said
    assert "canary" not in said, said
