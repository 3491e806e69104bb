"""What an installed fastdata consists of."""

import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UV_BUILD = Path(sys.executable).parent / "uv-build"
INFO = "fastdata_lambda-0.1.0.dist-info"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command = [str(UV_BUILD), "build-wheel", str(folder)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return zipfile.ZipFile(folder / run.stdout.split()[-1])


def metadata(wheel: zipfile.ZipFile) -> Message:
    return Parser().parsestr(wheel.read(f"{INFO}/METADATA").decode())


def requirements(wheel: zipfile.ZipFile) -> list[str]:
    return metadata(wheel).get_all("Requires-Dist") or []


def test_the_wheel_holds_the_library_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    files = {name for name in wheel.namelist() if not name.endswith("/")}
    tops = {name.split("/")[0] for name in files}
    library = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "fastdata").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    assert tops == {"fastdata", INFO}
    assert {name for name in files if name.startswith("fastdata/")} == library


def test_the_wheel_is_typed_and_licensed(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())

    assert {"fastdata/py.typed", f"{INFO}/licenses/LICENSE"} <= names


def test_the_wheel_installs_the_command(wheel: zipfile.ZipFile) -> None:
    entries = wheel.read(f"{INFO}/entry_points.txt").decode()

    assert "fastdata = fastdata.__main__:main" in entries


def test_faust_is_pinned_because_its_internals_are_used(wheel: zipfile.ZipFile) -> None:
    assert "faust-streaming==0.15.3" in [line.replace(" ", "") for line in requirements(wheel)]
    assert metadata(wheel)["Requires-Python"] == ">=3.11, <3.14"


@pytest.mark.parametrize(
    ("driver", "extra"),
    [
        ("asyncpg", "postgres"),
        ("duckdb", "duckdb"),
        ("aiomysql", "mysql"),
        ("clickhouse-connect", "clickhouse"),
        ("opensearch-py", "opensearch"),
    ],
)
def test_the_driver_of_a_database_is_an_extra(
    wheel: zipfile.ZipFile, driver: str, extra: str
) -> None:
    lines = [line for line in requirements(wheel) if line.startswith(driver)]

    assert [line.partition(";")[2].strip() for line in lines] == [f"extra == '{extra}'"]
