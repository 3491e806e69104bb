"""Every public function says which of our errors it raises.

What is looked at: `raise` statements, and calls of private functions and methods of the same
module, followed to theirs; what an `except` around them catches is left out. Errors that come
from other modules are beyond this test, and for the reviewer.

What a store does as its protocol says has the docstring of the protocol.
"""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name

import pytest

from fastdata import errors

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "fastdata").rglob("*.py"))

Function = ast.FunctionDef | ast.AsyncFunctionDef


def label(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions_of(tree: ast.Module) -> Iterator[tuple[ast.ClassDef | None, Function]]:
    for node in tree.body:
        if isinstance(node, Function):
            yield None, node
        elif isinstance(node, ast.ClassDef):
            yield from ((node, inner) for inner in node.body if isinstance(inner, Function))


def last_name(node: ast.expr | None) -> str:
    """`f` of `f(...)`, `self.f` and `module.f`."""
    if isinstance(node, ast.Call):
        node = node.func
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def is_caught(error: str, handlers: list[ast.ExceptHandler]) -> bool:
    """Whether a handler takes the error and does not let it go on with a bare `raise`."""
    ours = getattr(errors, error)
    names = {base.__name__ for base in ours.__mro__}
    for handler in handlers:
        caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        if handler.type is None or names & {last_name(kind) for kind in caught}:
            again = (n for n in ast.walk(handler) if isinstance(n, ast.Raise) and n.exc is None)
            return not any(again)
    return False


class Raised:
    """The errors of ours that leave the functions of one module."""

    def __init__(self, tree: ast.Module) -> None:
        self._known: dict[Function, set[str]] = {}
        self._named: dict[str, list[Function]] = {}
        for _, function in functions_of(tree):
            self._named.setdefault(function.name, []).append(function)

    def by(self, function: Function) -> set[str]:
        if function not in self._known:
            self._known[function] = set()  # a function that calls itself adds nothing
            self._known[function] = self._of(function.body)
        return self._known[function]

    def _of(self, nodes: list[ast.stmt]) -> set[str]:
        return {error for node in nodes for error in self._leaving(node)}

    def _leaving(self, node: ast.AST) -> set[str]:
        if isinstance(node, Function | ast.ClassDef | ast.Lambda):
            return set()
        if isinstance(node, ast.Try):
            tried = {e for e in self._of(node.body) if not is_caught(e, node.handlers)}
            rest = [n for h in node.handlers for n in h.body] + node.orelse + node.finalbody
            return tried | self._of(rest)
        found = {e for child in ast.iter_child_nodes(node) for e in self._leaving(child)}
        if isinstance(node, ast.Raise) and last_name(node.exc) in errors.__all__:
            found.add(last_name(node.exc))
        if isinstance(node, ast.Call) and last_name(node).startswith("_"):
            for callee in self._named.get(last_name(node), []):
                found |= self.by(callee)
        return found


def is_public(owner: ast.ClassDef | None, function: Function) -> bool:
    if owner is not None and owner.name.startswith("_"):
        return False
    return function.name == "__init__" or not function.name.startswith("_")


def documented(owner: ast.ClassDef | None, function: Function) -> str:
    where = owner if function.name == "__init__" and owner is not None else function
    return (ast.get_docstring(where) or "").partition("Raises:")[2]


@pytest.mark.parametrize("path", MODULES, ids=label)
def test_public_functions_document_the_errors_that_leave_them(path: Path) -> None:
    tree = ast.parse(path.read_text())
    raised = Raised(tree)
    missing = {
        f"{function.name}, line {function.lineno}": sorted(absent)
        for owner, function in functions_of(tree)
        if is_public(owner, function)
        and (absent := {e for e in raised.by(function) if e not in documented(owner, function)})
    }

    assert missing == {}


def test_an_error_that_leaves_through_a_private_function_is_seen() -> None:
    tree = ast.parse(
        "def load():\n    _read()\n"
        "def _read():\n    try:\n        _parse()\n    except SettingsError:\n        pass\n"
        "def _parse():\n    raise SettingsError('x')\n    raise MapError('y')\n"
    )

    load = next(function for _, function in functions_of(tree))

    assert Raised(tree).by(load) == {"MapError"}


@pytest.mark.parametrize(
    "name",
    [
        "memory:MemoryStore",
        "sql.store:SqlStore",
        "sql.postgres:Postgres",
        "sql.sqlite:Sqlite",
        "cassandra.store:CassandraStore",
    ],
)
def test_methods_of_stores_have_docstrings_of_their_own_or_of_the_protocol(name: str) -> None:
    methods = inspect.getmembers(resolve_name(f"fastdata.store.{name}"), inspect.isfunction)

    assert [m for m, method in methods if m[0] != "_" and not inspect.getdoc(method)] == []
