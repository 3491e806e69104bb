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


def warning(topic: str, *options: str) -> str:
    done = CliRunner().invoke(commands, ["send", topic, *options], input="one\n")
    assert isinstance(done.exception, BrokerError)
    return done.stderr


def test_a_topic_that_a_source_reads_lines_from_is_fine() -> None:
    assert warning("lines") == ""


def test_a_topic_that_nobody_reads_is_refused_before_a_line_is_sent() -> None:
    done = CliRunner().invoke(commands, ["send", "line"], input="one\n")

    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1] == (
        "Error: no source in agents reads 'line'; did you mean 'lines'? The topics are: flights, "
        "lines. --force sends there all the same"
    )


def test_a_topic_of_others_may_be_sent_to() -> None:
    assert warning("line", "--force") == ""


def test_agents_that_cannot_be_loaded_are_a_warning(folder: Path) -> None:
    (folder / "agents" / "word_count.py").write_text("import nothing_of_that_name\n")

    said = warning("lines")

    assert said.startswith("warning: cannot load ")
    assert said.endswith("lines are sent without a key, so repeats may lie in several partitions\n")


def test_lines_for_a_source_of_avro_are_a_warning() -> None:
    assert warning("flights") == (
        "warning: the source in agents reads Avro from flights: lines become dead letters\n"
    )


def test_who_only_sends_needs_no_agents(folder: Path) -> None:
    shutil.rmtree(folder / "agents")
    assert warning("line") == ""


def refusal(*options: str) -> str:
    done = CliRunner().invoke(commands, ["send", *options], input="a\n1\n")
    assert done.exit_code == 2
    return done.stderr.splitlines()[-1]


def test_rows_have_no_types_without_a_source_of_json() -> None:
    message = (
        "Error: rows are sent as JSON, typed by the schema of a source of that topic with "
        'format="json", and there is none; `fastdata init --from FILE` writes one'
    )

    assert refusal("flights", "--format", "csv") == message
    assert refusal("lines", "--format", "parquet") == message


def test_connections_are_of_lines() -> None:
    words = ("lines", "--listen", "127.0.0.1:0", "--format", "csv")

    assert refusal(*words) == "Error: --listen takes lines, and no csv"


def test_a_csv_file_for_a_source_of_text_is_lines(folder: Path) -> None:
    (folder / "lines.csv").write_text("a,b\n1,2\n")

    assert warning("lines", "--from-file", "lines.csv") == ""
