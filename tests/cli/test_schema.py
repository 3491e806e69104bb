"""`fastdata schema` with files; tests/real/registry has it with a registry."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from fastdata.cli.main import commands
from fastdata.errors import IncompatibleSchemaError


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("schemas").mkdir()
    write("schemas/old.avsc", "int")
    write("wider.avsc", "long")
    write("other.avsc", "string")


def write(path: str, type: str) -> None:
    fields = [{"name": "amount", "type": type}]
    Path(path).write_text(json.dumps({"type": "record", "name": "Sale", "fields": fields}))


def test_a_file_that_can_read_the_other_is_compatible() -> None:
    run = CliRunner().invoke(
        commands, ["schema", "check", "wider.avsc", "--against", "schemas/old.avsc"]
    )

    assert run.exit_code == 0
    assert run.output.startswith("wider.avsc: compatible with Sale")


def test_full_compatibility_goes_both_ways() -> None:
    command = ["schema", "check", "wider.avsc", "--compatibility", "full", "--json"]
    run = CliRunner().invoke(commands, command)  # against the folder of the settings

    (verdict,) = json.loads(run.output)
    assert run.exit_code == 1
    assert verdict["reasons"] == ["forward: amount: long cannot be read as int"]


def test_an_incompatible_file_is_an_error_that_names_the_field() -> None:
    run = CliRunner().invoke(commands, ["schema", "check", "other.avsc"])

    assert isinstance(run.exception, IncompatibleSchemaError)
    assert "amount: int cannot be read as string" in run.output


def test_nothing_is_registered_in_a_folder() -> None:
    run = CliRunner().invoke(commands, ["schema", "register", "wider.avsc", "--subject", "s"])

    assert run.exit_code == 2
    assert "is a folder, where nothing is registered" in run.output


def test_sources_that_are_no_avro_have_no_subject() -> None:
    Path("agents").mkdir()
    write("sale.avsc", "long")
    Path("agents/sales.py").write_text(
        "from fastdata import Source\n"
        'sales = Source("sales", topic="s", schema="sale.avsc", time="amount", format="json")\n'
    )

    everything = CliRunner().invoke(commands, ["schema", "check", "--json"])
    by_name = CliRunner().invoke(commands, ["schema", "check", "sales"])

    assert (everything.exit_code, json.loads(everything.stdout)) == (0, [])
    assert everything.stderr == "sales: its values are json, which no registry knows\n"
    assert by_name.exit_code == 2
    assert "the values of source 'sales' are json" in by_name.output
