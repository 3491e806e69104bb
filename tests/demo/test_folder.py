"""The folder of a demo is a deployment of its own."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from fastdata.declare.catalog import load_folder
from fastdata.demo.folder import write_folder
from fastdata.errors import FastdataError
from fastdata.events.registry import open_registry
from fastdata.events.schema import Schema
from fastdata.kafka.connection import Broker

REPOSITORY = Path(__file__).parents[2]
EXAMPLE = REPOSITORY / "fastdata" / "demo" / "example"


@pytest.mark.parametrize("name", ["agents/flights.py", "schemas/flight.avsc"])
def test_the_wheel_holds_the_very_files_of_the_repository(name: str) -> None:
    assert (EXAMPLE / name).read_bytes() == (REPOSITORY / name).read_bytes()


def test_the_example_is_loaded_from_anywhere(tmp_path: Path) -> None:
    code = (
        "from fastdata.declare.catalog import load_folder;"
        "from fastdata.demo.folder import EXAMPLE;"
        'print(load_folder(EXAMPLE / "agents").metric("departures").place)'
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout.startswith(f"{EXAMPLE / 'agents' / 'flights.py'}:")


def test_it_declares_departures_and_knows_their_schema(tmp_path: Path) -> None:
    write_folder(tmp_path / "new", Broker("127.0.0.1:9092"))
    catalog = load_folder(tmp_path / "new" / "agents")
    schema = Schema.load(tmp_path / "new" / "schemas" / "flight.avsc")
    registry = open_registry(str(tmp_path / "new" / "schemas"))
    assert sorted(catalog.metrics) == ["departures"]
    assert registry.get(schema.id).fields == schema.fields


def test_its_settings_name_its_broker_and_only_paths_inside(tmp_path: Path) -> None:
    write_folder(tmp_path, Broker("127.0.0.1:4321"))
    settings = tomllib.loads((tmp_path / "fastdata.toml").read_text())
    assert settings["broker"] == "127.0.0.1:4321"
    assert settings["store"] == "sqlite:///fastdata.sqlite"
    assert [settings[name] for name in ("registry", "archive", "state", "agents")] == [
        "schemas",
        "archive",
        "state",
        "agents",
    ]


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("keep me")
    with pytest.raises(FastdataError, match="is not empty"):
        write_folder(tmp_path, Broker("127.0.0.1:9092"))
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]
