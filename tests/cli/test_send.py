"""What `fastdata send` says before it sends anything."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from fastdata.cli.main import commands
from fastdata.errors import BrokerError

ROOT = Path(__file__).parents[2]
AGENTS = ("flights", "word_count")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with agents, but without a broker."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASTDATA_BROKER", "localhost:1")
    shutil.copytree(ROOT / "schemas", tmp_path / "schemas")
    (tmp_path / "agents").mkdir()
    for name in AGENTS:
        shutil.copy(ROOT / "agents" / f"{name}.py", tmp_path / "agents")
    return tmp_path


def warning(topic: str) -> str:
    done = CliRunner().invoke(commands, ["send", topic], input="one\n")
    assert isinstance(done.exception, BrokerError)
    return done.stderr


def test_a_topic_that_a_source_reads_lines_from_is_fine() -> None:
    assert warning("lines") == ""


def test_a_topic_that_nobody_reads_is_a_warning() -> None:
    assert warning("line") == (
        "warning: no source in agents reads line; topics are: flights, lines\n"
    )


def test_lines_for_a_source_of_avro_are_a_warning() -> None:
    assert warning("flights") == (
        "warning: the source in agents reads Avro from flights: lines become dead letters\n"
    )


def test_who_only_sends_needs_no_agents(folder: Path) -> None:
    shutil.rmtree(folder / "agents")
    assert warning("line") == ""
