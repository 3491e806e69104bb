"""The page of measures has those that there are, with the sizes that they have."""

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

import fastdata
from fastdata.measures.ratios import Derived

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "measures.md").read_text()
MEASURES = sorted(
    name
    for name in fastdata.__all__
    if name[0].isupper()
    and (hasattr(getattr(fastdata, name), "bind") or hasattr(getattr(fastdata, name), "derive"))
)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = spec_from_file_location("measures", ROOT / "benchmarks" / "measures.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    # Its dataclasses look for their module.
    import sys

    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_there_are_measures() -> None:
    assert {"Count", "TopK", "Uniques", "Ratio"} <= set(MEASURES)


@pytest.mark.parametrize("name", MEASURES)
def test_the_page_says_what_a_measure_answers_and_what_it_costs(name: str) -> None:
    assert re.search(rf"^\|.*`{name}\(", PAGE, re.MULTILINE)
    assert re.search(rf"^\| `{name}`.* \| .+ \| .+ \|", PAGE, re.MULTILINE)


def test_the_sizes_of_small_states_are_those_of_the_page(script: ModuleType) -> None:
    lines = {line.split(" | ")[0][2:]: line.split(" | ") for line in PAGE.splitlines()}
    for case in script.CASES:
        if isinstance(case.measure, Derived):
            continue
        shown = lines[script.title(case)][2:4]
        for exact, cell in zip((False, True), shown, strict=True):
            cell = shown[0] if cell == "the same" else cell  # noqa: PLW2901
            found = script.sizes(case, exact, (1, 100))
            assert cell.split(" · ")[:2] == [f"{size:,}" for size in found], "run the script"
