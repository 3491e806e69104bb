"""Files and functions that outgrow a reader."""

import ast
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIBRARY = sorted((ROOT / "fastdata").rglob("*.py"))
EVERYTHING = sorted([*LIBRARY, *(ROOT / "agents").rglob("*.py"), *(ROOT / "tests").rglob("*.py")])

MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 40


def label(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines of a function without its docstring."""
    total = (function.end_lineno or 0) - function.lineno + 1
    if ast.get_docstring(function) is None:
        return total
    docstring = function.body[0]
    return total - ((docstring.end_lineno or 0) - docstring.lineno + 1)


@pytest.mark.parametrize("path", EVERYTHING, ids=label)
def test_a_module_has_at_most_400_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_MODULE_LINES


@pytest.mark.parametrize("path", LIBRARY, ids=label)
def test_a_function_has_at_most_40_lines(path: Path) -> None:
    functions = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    long = {f.name: lines_of(f) for f in functions if lines_of(f) > MAX_FUNCTION_LINES}

    assert long == {}


def test_no_folder_is_more_than_an_eighth_of_the_code() -> None:
    lines: Counter[str] = Counter()
    for path in LIBRARY:
        lines[path.relative_to(ROOT / "fastdata").parts[0]] += len(path.read_text().splitlines())
    ((folder, most),) = lines.most_common(1)

    assert most <= lines.total() / 8, folder
