"""One word, one thing; and names that say what they hold."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIBRARY = sorted((ROOT / "fastdata").rglob("*.py"))
PRONOUNS = {
    "each", "found", "given", "it", "known", "of", "one", "own", "some", "these", "this", "those",
    "told", "what",
}  # fmt: skip


def label(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def bindings(tree: ast.AST) -> list[str]:
    """The variables and arguments that a module binds, with their lines."""
    names = [(n.lineno, n.arg) for n in ast.walk(tree) if isinstance(n, ast.arg)]
    names += [
        (n.lineno, n.id)
        for n in ast.walk(tree)
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    ]
    return [f"{name} in line {line}" for line, name in names if name in PRONOUNS]


@pytest.mark.parametrize("path", LIBRARY, ids=label)
def test_names_are_no_pronouns(path: Path) -> None:
    assert bindings(ast.parse(path.read_text())) == []


def test_no_two_classes_share_a_name() -> None:
    places = defaultdict(list)
    for path in LIBRARY:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                places[node.name.strip("_")].append(label(path))

    assert {name: where for name, where in places.items() if len(where) > 1} == {}
