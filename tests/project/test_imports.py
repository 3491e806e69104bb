"""Who may import whom: the folders are the architecture."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "fastdata"
# The example of the demo is a user's file.
FILES = sorted(f for f in PACKAGE.rglob("*.py") if "example" not in f.parts)
MODULES = {
    ".".join(f.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): f for f in FILES
}

# All that each folder, or module beside them, imports. An arrow points down: to a later line.
MAY_IMPORT = {
    "__main__": {"cli"},
    "cli": {
        "alerts", "mcp", "web", "demo", "scaffold", "app", "local", "exports", "answer", "batch",
        "verify", "operate", "speed", "archive", "store", "declare", "files", "events", "kafka",
        "monitor", "settings", "coordinates", "errors",
    },
    "alerts": {
        "answer", "store", "declare", "measures", "coordinates", "failpoints", "errors",
    },
    "mcp": {
        "web", "local", "answer", "verify", "operate", "archive", "store", "declare", "settings",
        "coordinates", "errors",
    },
    "web": {
        "local", "exports", "answer", "verify", "operate", "speed", "archive", "store", "declare",
        "kafka", "settings", "coordinates", "errors",
    },
    "demo": {
        "local", "answer", "operate", "speed", "archive", "store", "declare", "events", "kafka",
        "coordinates", "errors",
    },
    "scaffold": {"declare", "files", "events", "errors"},
    "fastdata": {"exports", "answer", "speed", "declare", "measures", "settings", "errors"},
    "local": {"declare", "files", "events", "kafka", "settings", "errors"},
    "app": {"speed", "declare", "settings", "errors"},
    "exports": {
        "answer", "speed", "archive", "store", "declare", "measures", "events", "kafka", "settings",
        "coordinates", "failpoints", "errors",
    },
    "answer": {"store", "declare", "measures", "settings", "coordinates", "errors"},
    "batch": {
        "archive", "store", "declare", "measures", "expressions", "events", "coordinates",
        "failpoints", "errors",
    },
    "verify": {"archive", "store", "declare", "measures", "events", "coordinates", "errors"},
    "operate": {
        "speed", "archive", "store", "declare", "measures", "expressions", "events", "kafka",
        "settings", "coordinates", "errors",
    },
    "speed": {
        "archive", "store", "declare", "events", "kafka", "monitor", "settings", "coordinates",
        "failpoints", "errors",
    },
    "archive": {"declare", "events", "kafka", "coordinates", "failpoints", "errors"},
    "store": {"coordinates", "failpoints", "errors"},
    "testing": {"measures"},
    "declare": {"measures", "expressions", "events", "coordinates", "errors"},
    "measures": {"events", "coordinates", "errors"},
    "expressions": {"events", "coordinates", "errors"},
    "files": {"events", "coordinates", "errors"},
    "events": {"errors"},
    "kafka": {"settings", "coordinates", "errors"},
    "monitor": {"errors"},
    "settings": {"errors"},
    "coordinates": {"errors"},
    "failpoints": set[str](),
    "errors": set[str](),
}  # fmt: skip

DRIVERS = {
    "faust": ("speed/", "app.py"),
    "mode": ("speed/", "app.py"),
    "aiokafka": ("kafka/", "speed/", "archive/", "operate/"),
    "confluent_kafka": ("demo/", "local/", "events/url_registry.py", "operate/log_reader.py"),
    "sqlalchemy": ("store/", "exports/"),
    "aiosqlite": ("store/sql/sqlite.py",),
    "asyncpg": ("store/sql/postgres.py",),
    "duckdb": ("exports/duckdb_file.py",),
    "aiomysql": (),
    "opensearchpy": ("exports/opensearch.py", "exports/opensearch_server.py"),
    "clickhouse_connect": ("exports/clickhouse.py", "exports/clickhouse_server.py"),
    "cassandra": ("store/cassandra/",),
    "obstore": ("archive/",),
    "rocksdict": ("speed/",),
    "prometheus_client": ("monitor.py",),
    "fastapi": ("web/",),
    "starlette": ("web/",),
    "uvicorn": ("web/serve.py",),
    "jinja2": ("web/rendering.py",),
    "mcp": ("mcp/server.py",),
    "scipy": ("answer/samples.py",),
    "pandas": (),
}


def label(file: Path) -> str:
    return file.relative_to(PACKAGE).as_posix()


def folder_of(module: str) -> str:
    """The folder of `fastdata/`, or the module beside them; the doorway has its own name."""
    return module.split(".")[1] if "." in module else module


def imported(file: Path) -> Iterator[str]:
    """Every dotted name that a module imports: at its top, in a function, or for types only."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            # `from fastdata import failpoints` imports a module, `... import Count` a name.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_modules(module: str) -> set[str]:
    """The modules of the package that one of them imports."""
    names = [name for name in imported(MODULES[module]) if name.split(".")[0] == "fastdata"]
    return {name if name in MODULES else name.rpartition(".")[0] for name in names}


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_a_folder_imports_what_the_table_says_and_nothing_else(folder: str) -> None:
    modules = [module for module in MODULES if folder_of(module) == folder]
    arrows = {folder_of(name) for module in modules for name in imported_modules(module)}

    assert MAY_IMPORT[folder] == arrows - {folder}, (
        f"{folder} imports more or less than its line in MAY_IMPORT says: import from a folder that"
        " is there, or, where the picture in CONTRIBUTING.md stays true, change the line"
    )


def test_the_table_has_all_folders_and_its_arrows_point_down() -> None:
    floors = list(MAY_IMPORT)
    up = [
        (folder, other)
        for folder, others in MAY_IMPORT.items()
        for other in others
        if floors.index(other) <= floors.index(folder)
    ]

    assert {folder_of(module) for module in MODULES} == set(floors)
    assert up == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    sorter = TopologicalSorter({m: imported_modules(m) - {m} for m in MODULES})
    try:
        sorter.prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


@pytest.mark.parametrize("file", FILES, ids=label)
def test_a_driver_is_imported_only_in_its_place(file: Path) -> None:
    wrong = [
        name
        for name in imported(file)
        if (top := name.split(".")[0]) in DRIVERS and not label(file).startswith(DRIVERS[top])
    ]

    assert wrong == []


@pytest.mark.parametrize("file", FILES, ids=label)
def test_the_library_never_imports_tests_or_agents(file: Path) -> None:
    assert {"tests", "agents"}.isdisjoint(name.split(".")[0] for name in imported(file))


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
    assert loaded & {*DRIVERS, "datasketches", "numpy", "pyarrow", "pydantic", "sqlglot"} == set()


def test_who_folds_by_rows_does_not_wait_for_datafusion_to_load() -> None:
    code = "import sys, fastdata.batch.replay; print('datafusion' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert run.stdout.strip() == "False"


def test_agents_is_no_package() -> None:
    assert (ROOT / "agents" / "flights.py").is_file()
    assert not (ROOT / "agents" / "__init__.py").exists()


def test_what_users_call_is_hidden_by_no_module() -> None:
    # Importing a folder sets the attribute of its name, on which a user's call would then fail.
    code = (
        "import pkgutil, fastdata\n"
        "names = {module.name for module in pkgutil.iter_modules(fastdata.__path__)}\n"
        "print(sorted(names & set(fastdata.__all__)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert run.stdout.strip() == "[]"
